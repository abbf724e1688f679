"""What starts a run from outside: the payload of an event, and the configs that a deployed run may read."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from saferollout.config import yaml_file
from saferollout.config.rollout import ModelVersion
from saferollout.config.section import Section
from saferollout.domain.errors import ConfigError, Problem

CONFIGS = "SAFEROLLOUT_CONFIGS"
"""The variable that lists the folders of configs on a worker, separated as in PATH; by default it is `configs`."""
EXAMPLE = '{"config": "configs/rollout.yaml", "model": "azureml:<name>:<version>"}'


class Handover(Section):
    """The payload of the event `saferollout.requested`."""

    config: str = Field("configs/rollout.yaml", min_length=1)
    model: ModelVersion | None = None
    requester: str = Field("", max_length=200)
    """Who wants the rollout, as the sender says."""


def read_event(payload: str) -> Handover:
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
    try:
        return Handover.model_validate(content)
    except ValidationError as error:
        raise ConfigError(*yaml_file.limit(yaml_file.problems_of(Path("event"), error))) from None


def check_place(key: str, path: str) -> None:
    """Check that a file lies where a worker keeps its configs: who starts a run names no other file there.

    Raises:
        ConfigError: It lies elsewhere; whether it exists is not said.
    """
    folders = [Path(folder) for folder in os.environ.get(CONFIGS, "configs").split(os.pathsep) if folder]
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
