"""A rollout config together with the Azure ML files that it points to, read and checked before Azure is called."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pydantic import Field, ValidationError

from saferollout.config import answer_schema, notify, yaml_file
from saferollout.config.assets import short
from saferollout.config.conflicts import impossible_auto, impossible_mirror, missing_truths
from saferollout.config.contents import contents, digests_of
from saferollout.config.model_version import ModelVersion
from saferollout.config.names import check_name
from saferollout.config.recorded_requests import DEFAULT_NAMES, FORM, RecordedRequest, Recording, short_digest
from saferollout.config.request import RolloutRequest, find_config
from saferollout.config.rollout import RolloutConfig, WorkspaceConfig
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import ConfigError, GateFailed, Problem

T = TypeVar("T")

REQUESTS = "smoke_test.requests"
REQUESTS_REMEDY = (
    f"put lines like {FORM} into {DEFAULT_NAMES[0]} there, or one request's body into {DEFAULT_NAMES[1]}, or name "
    "another .jsonl file, .json file or folder of .json files"
)
STAND_INS = {
    "model": "azureml:model:1",
    "environment": "azureml:environment:1",
    "code_configuration": {"code": "azureml:code:1", "scoring_script": "score.py"},
}
"""For the parts of a deployment, where one of them is wrong."""
SLOT = "candidate"
"""A name for what has none yet."""


class Project(Value):
    """What a rollout starts from, as it was when it was read; all paths are absolute and existed, where it was read."""

    config_path: Path
    config: RolloutConfig
    endpoint: str
    endpoint_path: Path
    deployment_path: Path
    requests_path: Path
    assets: dict[str, str]
    """The registered `model` and `environment` that are rolled out, asked for or named in the deployment's YAML.

    One that is named by a label is not resolved yet.
    """
    recorded: Recording
    """The recorded requests: whatever becomes of the file, every gate of the run sends these."""
    answer_schema: dict[str, Any] | None
    files: str
    """A digest over all else that the candidate is made of: its YAML, and local models, code and environments."""
    parts: dict[str, str] = Field(default={})
    """The SHA-256 of each local file and folder that it is made of, by its key in the YAML."""
    model_of_yaml: str
    """A local model's name and version as the YAML names them; empty where it does not."""
    settings: dict[str, str] | None = None
    """`digests_of` the YAML of a candidate of which Azure holds every part; None where some of it is files here."""
    request: RolloutRequest = RolloutRequest.model_validate({})
    """Who asked for it, and why."""

    @property
    def model(self) -> str:
        """The registered model that is rolled out; empty for a local one."""
        return self.assets.get("model", "")

    @property
    def label(self) -> str:
        """What people call the candidate: its model and version, or its revision where the YAML names no model."""
        return short(self.model) or self.model_of_yaml or self.revision

    @property
    def revision(self) -> str:
        """12 hex digits over the files and the registered assets."""
        return short_digest(json.dumps([self.files, self.assets], sort_keys=True))

    @property
    def inputs(self) -> dict[str, str]:
        """What every gate of the run works with, with digests by which a person can distinguish two runs'."""
        schema = json.dumps(self.answer_schema, sort_keys=True) if self.answer_schema is not None else ""
        asked = self.request.described()
        return ({"asked for": asked} if asked else {}) | {
            "recorded requests": self.recorded.summary(),
            "answer schema": f"`{short_digest(schema)}`" if schema else "none",
            "config": f"`{short_digest(self.config.model_dump_json())}`",
        }

    def with_assets(self, assets: dict[str, str]) -> Self:
        """The same with other registered assets, as when each label has become a version."""
        return self.model_copy(update={"assets": assets})

    def for_request(self, request: RolloutRequest) -> Self:
        """The same for whoever asked, with what the request overrides in the config."""
        return self.model_copy(update={"request": request, "config": request.overrides.apply(self.config)})

    def on_this_machine(self) -> Self:
        """The same with its files where they are here, as for a worker that takes up a run whose first one had others.

        Where they are gone, they are looked for around the config, which is looked for by what was asked for.
        """
        if self.deployment_path.exists():
            return self
        there, here = self.config_path.parent, Path(find_config(self.request.config)).absolute().parent
        paths = ("config_path", "endpoint_path", "deployment_path", "requests_path")
        moved = {name: Path(os.path.normpath(here / os.path.relpath(getattr(self, name), there))) for name in paths}
        return self.model_copy(update=moved)

    def check_unchanged(self) -> None:
        """Check that the candidate's files are still those of the revision.

        Raises:
            GateFailed: They are not.
        """
        try:
            spec = yaml_file.read(self.deployment_path)
            changed = contents(self.deployment_path, spec, self.assets).digest() != self.files
        except ConfigError:  # a file that is gone, or that can no longer be uploaded
            changed = True
        if changed:
            file = yaml_file.display_path(self.deployment_path)
            msg = f"the files of {file} changed since the run began; start a new one"
            raise GateFailed(msg)

    def requests(self) -> list[RecordedRequest]:
        """The recorded requests that the run began with."""
        return self.recorded.requests()


class Sdk(Protocol):
    """Azure ML's SDK, which reads the same YAML by rules of its own.

    Raises:
        ConfigError: It does not accept a file, in any method.
    """

    def load_endpoint(self, path: Path) -> Any:
        """Read an endpoint's YAML."""

    def load_deployment(self, path: Path, *, name: str, endpoint: str, assets: Mapping[str, Any]) -> Any:
        """Read a deployment's YAML."""


def load(
    config_path: Path | str,
    model: ModelVersion | None = None,
    deployment: Path | None = None,
    *,
    sdk: Sdk | None = None,
) -> Project:
    """Read the config and everything it points to, if asked as the `sdk` reads it, too.

    `deployment` takes the place of the config's.

    Raises:
        ConfigError: Something is wrong; it has every problem that can be found without Azure.
    """
    path = Path(config_path)
    try:
        full, _ = yaml_file.locate(path.absolute(), "", path.absolute())
        return _Reading(full, model, sdk).read(deployment)
    except ConfigError as error:
        raise ConfigError(*yaml_file.with_lines(yaml_file.limit(error.problems))) from None


class _Reading:
    """Reads all that a config names, whatever is wrong with the rest, and collects every problem."""

    def __init__(self, path: Path, model: ModelVersion | None, sdk: Sdk | None) -> None:
        self.path = path
        self.model = model
        self.sdk = sdk
        self.problems: list[Problem] = []

    def read(self, deployment: Path | None) -> Project:
        """Return the project.

        Raises:
            ConfigError: It has every problem.
        """
        content = yaml_file.read(self.path)
        if deployment is not None:
            content["deployment"] = str(deployment.absolute())
        if isinstance(content.setdefault("workspace", {}), dict):
            defaults = {name: field.default for name, field in WorkspaceConfig.model_fields.items()}
            content["workspace"] = defaults | content["workspace"]
        content, self.problems = yaml_file.fill_in(self.path, content, notify.SECTION)
        config = self._config(content)
        named = _named_paths(content, {problem.key for problem in self.problems})
        endpoint_path = self._existing("endpoint", named)
        deployment_path = self._existing("deployment", named)
        requests_path = self._requests_path(named, deployment_path)
        schema_path = self._existing("smoke_test.answer_schema", named)
        endpoint = self._collect(endpoint_name, endpoint_path)
        recorded = self._collect(Recording.read, requests_path)
        schema = self._collect(answer_schema.read, schema_path)
        if config and recorded and requests_path:
            self.problems += missing_truths(self.path, config, requests_path, recorded.requests())
        if config:
            self.problems += impossible_auto(self.path, config)
        if config and endpoint and endpoint_path:
            self.problems += impossible_mirror(self.path, config, endpoint_path)
        if endpoint and endpoint_path:
            self._ask(endpoint_path, lambda sdk: sdk.load_endpoint(endpoint_path))
        spec = self._collect(yaml_file.read, deployment_path)
        parts = self._parts(deployment_path, spec, endpoint, endpoint_path)
        if self.problems:
            raise ConfigError(*self.problems)
        return Project(
            config_path=self.path,
            config=config,
            endpoint=endpoint,
            endpoint_path=endpoint_path,
            deployment_path=deployment_path,
            requests_path=requests_path,
            assets=parts.assets,
            recorded=recorded,
            answer_schema=schema,
            files=parts.digest(),
            parts=parts.digests,
            model_of_yaml=_model_of(spec),
            settings=None if parts.files else digests_of(parts.spec),
        )

    def _config(self, content: dict[str, Any]) -> RolloutConfig | None:
        """Return the config; None where it is wrong otherwise than by a variable that is not set."""
        unset = {problem.key for problem in self.problems}
        try:
            return RolloutConfig.model_validate(content)
        except ValidationError as error:
            found = yaml_file.problems_of(self.path, error)
            self.problems += [problem for problem in found if problem.key not in unset]
            return None

    def _existing(self, key: str, named: dict[str, Path], *, folder: bool = False) -> Path | None:
        if key not in named:
            return None
        full, problem = yaml_file.locate(self.path, key, named[key], folder=folder)
        self.problems += [problem] if problem else []
        return None if problem else full

    def _requests_path(self, named: dict[str, Path], deployment_path: Path | None) -> Path | None:
        """The file or folder of recorded requests: what the config names, else what is beside the deployment's YAML."""
        mistaken = any(problem.key in ("smoke_test", REQUESTS) for problem in self.problems)
        if REQUESTS in named or mistaken or deployment_path is None:
            return self._existing(REQUESTS, named, folder=True)
        for path in (deployment_path.parent / name for name in DEFAULT_NAMES):
            if os.path.lexists(path):
                return self._existing(REQUESTS, {REQUESTS: path})
        beside = f"no recorded requests beside {yaml_file.display_path(deployment_path)}"
        self.problems.append(Problem(yaml_file.display_path(self.path), REQUESTS, beside, REQUESTS_REMEDY))
        return None

    def _collect(self, read: Callable[[Path], T], path: Path | None) -> T | None:
        """Read a file; None where there is none or it is wrong."""
        try:
            return read(path) if path else None
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None

    def _parts(
        self, path: Path | None, spec: dict[str, Any] | None, endpoint: str | None, endpoint_path: Path | None
    ) -> Any:
        """Return what the deployment's YAML points to."""
        if path is None or spec is None:
            return None
        chosen = {"model": str(self.model)} if self.model else {}
        begin = len(self.problems)
        parts = self._collect(lambda path: contents(path, spec, chosen), path)
        named = spec.get("endpoint_name", endpoint)
        if endpoint and endpoint_path and named != endpoint:
            remedy = f"write {endpoint!r}, the name in {yaml_file.display_path(endpoint_path)}"
            file = yaml_file.display_path(path)
            self.problems.append(Problem(file, "endpoint_name", f"is {yaml_file.short(named)}", remedy))
        # the SDK would read again what is wrong in a part, or never end
        assets = STAND_INS if len(self.problems) > begin else parts.assets if parts else chosen
        self._ask(path, lambda sdk: sdk.load_deployment(path, name=SLOT, endpoint=endpoint or SLOT, assets=assets))
        return parts

    def _ask(self, path: Path, load: Callable[[Sdk], Any]) -> None:
        """Ask the SDK about a file; what is known to be wrong there is not reported twice."""
        if self.sdk is None:
            return
        file = yaml_file.display_path(path)
        keys = {problem.key for problem in self.problems if problem.file == file}
        try:
            load(self.sdk)
        except ConfigError as error:
            self.problems += [
                problem for problem in error.problems if not any(_overlap(problem.key, key) for key in keys)
            ]


def _overlap(key: str, other: str) -> bool:
    """Whether one of two keys lies in the other; the empty one stands for the whole file."""
    short, long = sorted((key, other), key=len)
    return not short or re.match(rf"{re.escape(short)}(?=[.\[]|$)", long) is not None


def _named_paths(content: dict[str, Any], mistaken: set[str]) -> dict[str, Path]:
    """The paths in a config, by their keys, but for those that are wrong."""
    smoke_test = content.get("smoke_test")
    values = {key: content.get(key) for key in ("endpoint", "deployment")}
    if isinstance(smoke_test, dict):
        values |= {f"smoke_test.{key}": smoke_test.get(key) for key in ("requests", "answer_schema")}
    return {key: Path(value) for key, value in values.items() if isinstance(value, str) and key not in mistaken}


def resolve_workspace(workspace: WorkspaceConfig | None) -> WorkspaceConfig:
    """The workspace with each `${ENV}` filled in; by default the one that the environment names.

    Raises:
        ConfigError: Variables are not set, all of which it names.
    """
    content, problems = yaml_file.fill_in(Path("workspace"), (workspace or WorkspaceConfig()).model_dump())
    if problems:
        raise ConfigError(*problems)
    return WorkspaceConfig.model_validate(content)


def endpoint_name(path: Path) -> str:
    """Return the endpoint's name in its YAML.

    Raises:
        ConfigError: It is missing or breaks Azure's rules.
    """
    name = yaml_file.read(path).get("name")
    if name is None:
        raise ConfigError(Problem(yaml_file.display_path(path), "name", "required, but not there", "add it"))
    try:
        return check_name("endpoint", str(name))
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(Problem(yaml_file.display_path(path), "name", problem, remedy)) from None


def _model_of(deployment: dict[str, Any] | None) -> str:
    named = deployment and deployment.get("model")
    return (
        f"{named['name']}:{named['version']}" if isinstance(named, dict) and {"name", "version"} <= named.keys() else ""
    )
