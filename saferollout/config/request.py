"""What starts a rollout from outside: the request, which is the same by every way, and the configs that it may name."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from saferollout.config import yaml_file
from saferollout.config.model_version import ModelVersion
from saferollout.config.rollout import RolloutConfig, WhenBusy
from saferollout.config.section import Section
from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.text import as_markdown

CONFIGS = "SAFEROLLOUT_CONFIGS"
"""The variable that lists the folders of configs on a worker, separated as in PATH; by default it is `configs`."""
EXAMPLE = '{"config": "configs/rollout.yaml", "model": "azureml:<name>:<version>"}'
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

RequestId = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.:/@-]*)?$", max_length=128)]
"""Empty where the request has none."""
Person = Annotated[str, Field(max_length=200)]
Reason = Annotated[str, Field(max_length=1000)]


class Overrides(Section):
    """What a request may set otherwise than the config does: nothing that makes a rollout less safe."""

    model_config = ConfigDict(serialize_by_alias=True)

    live_instance_count: int | None = Field(
        None, alias="live.instance_count", ge=1, le=50, description="The instances to which live is scaled up first."
    )
    approval_timeout_s: float | None = Field(
        None, alias="stages.approval_timeout_s", ge=1, description="How long each stage's question stays open."
    )
    when_busy: Literal[WhenBusy.REFUSE, WhenBusy.QUEUE] | None = Field(
        None, description="What follows where another rollout of the endpoint is under way: refuse or queue."
    )

    def apply(self, config: RolloutConfig) -> RolloutConfig:
        """The config with what is set here; all else stays."""
        for key, value in self.model_dump(by_alias=True, exclude_none=True).items():
            config = _with(config, key.split("."), value)
        return config


def _with(part: Any, path: list[str], value: Any) -> Any:
    """A part of a config with another value at a path, in each entry of a list that it leads through."""
    name, *rest = path
    inner = getattr(part, name)
    if not rest:
        changed = value
    elif isinstance(inner, tuple):
        changed = tuple(_with(entry, rest, value) for entry in inner)
    else:
        changed = _with(inner, rest, value)
    return part.model_copy(update={name: changed})


class RolloutRequest(Section):
    """Somebody asks for a rollout. The parameters of the deployed flow have the same names."""

    config: str = Field("configs/rollout.yaml", min_length=1)
    """The path of a config on the worker, or its name: `fraud` is `configs/fraud.yaml` there."""
    model: ModelVersion | None = None
    """A registered model to roll out instead of the one in the deployment's YAML."""
    by: Person = ""
    """Who asks."""
    why: Reason = ""
    request_id: RequestId = ""
    """A second request of an endpoint with the same id starts nothing, whatever became of the first."""
    overrides: Overrides = Overrides.model_validate({})

    def described(self) -> str:
        """Who asked, why, and under which id, as markdown; empty where nothing of that was said."""
        parts = [f"by {as_markdown(self.by)}" if self.by.strip() else "", as_markdown(self.why)]
        parts += [f"id `{self.request_id}`"] if self.request_id else []
        changes = self.overrides.model_dump(mode="json", by_alias=True, exclude_none=True)
        parts += [f"with {', '.join(f'{key} {value}' for key, value in changes.items())}"] if changes else []
        return "; ".join(part for part in parts if part)


def read_event(payload: str) -> RolloutRequest:
    """Read the payload of an event, as JSON.

    Raises:
        ConfigError: It does not fit; it has every problem.
    """
    try:
        content: Any = json.loads(payload)
    except (ValueError, RecursionError) as error:
        problem = f"the payload is longer than a run takes, or is not valid JSON: {error}"
        raise ConfigError(Problem("event", "", problem, f"send {EXAMPLE}")) from None
    if not isinstance(content, dict):
        raise ConfigError(Problem("event", "", "the payload is not a JSON object", f"send {EXAMPLE}"))
    return read_request(content, "event")


def read_request(content: dict[str, Any], source: str = "request") -> RolloutRequest:
    """Check what somebody asks for; `source` is what problems call it.

    Raises:
        ConfigError: It does not fit; it has every problem.
    """
    try:
        return RolloutRequest.model_validate(content)
    except ValidationError as error:
        raise ConfigError(*yaml_file.limit(yaml_file.problems_of(Path(source), error))) from None


def find_config(config: str) -> str:
    """The path of a config that may be given by its name alone: `fraud` is `configs/fraud.yaml`."""
    if not _NAME.fullmatch(config) or _is_file(Path(config)):
        return config
    paths = [folder / f"{config}{ending}" for folder in _folders() for ending in (".yaml", ".yml")]
    return str(next((path for path in paths if _is_file(path)), next(iter(paths), config)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long, or the folder may not be read: whoever reads the file says so
        return False


def check_place(key: str, path: str) -> None:
    """Check that a file lies where a worker keeps its configs: who starts a run names no other file there.

    Raises:
        ConfigError: It lies elsewhere; whether it exists is not said.
    """
    folders = _folders()
    try:
        full = Path(path).resolve()
        allowed = any(full.is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, RuntimeError, ValueError):  # a circle of links, or a character that no path has
        allowed = False
    if not allowed:
        shown = " or ".join(yaml_file.display_path(folder) for folder in folders)
        problem = f"{yaml_file.short(path)} does not lie in {shown}, where this worker keeps its configs"
        remedy = f"move it there, or add its folder to {CONFIGS} where the worker is started"
        raise ConfigError(Problem("run", key, problem, remedy))


def _folders() -> list[Path]:
    return [Path(folder) for folder in os.environ.get(CONFIGS, "configs").split(os.pathsep) if folder]
