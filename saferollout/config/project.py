"""A rollout config together with the Azure ML files that it points to, read and checked before Azure is called."""

import json
from pathlib import Path
from typing import Any, Self

import jsonschema
from pydantic import ValidationError

from saferollout.config import yaml_file
from saferollout.config.assets import short
from saferollout.config.contents import contents
from saferollout.config.names import check_name
from saferollout.config.recorded_requests import DEFAULT_NAMES, FORM, RecordedRequest, Recording, short_digest
from saferollout.config.rollout import ModelVersion, RolloutConfig, WorkspaceConfig
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import ConfigError, GateFailed, Problem

REQUESTS = "smoke_test.requests"
REQUESTS_REMEDY = (
    f"put lines like {FORM} into {DEFAULT_NAMES[0]} there, or one request's body into {DEFAULT_NAMES[1]}, or name "
    "another .jsonl file, .json file or folder of .json files"
)


class Project(Value):
    """What a rollout starts from, as it was when it was read; all paths are absolute and existed."""

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
    model_of_yaml: str
    """A local model's name and version as the YAML names them; empty where it does not."""

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
        return {
            "recorded requests": self.recorded.summary(),
            "answer schema": f"`{short_digest(schema)}`" if schema else "none",
            "config": f"`{short_digest(self.config.model_dump_json())}`",
        }

    def with_assets(self, assets: dict[str, str]) -> Self:
        """The same with other registered assets, as when each label has become a version."""
        return self.model_copy(update={"assets": assets})

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


def load(config_path: Path | str, model: ModelVersion | None = None, deployment: Path | None = None) -> Project:
    """Read the config and everything it points to; `deployment` takes the place of the config's.

    Raises:
        ConfigError: Something is wrong; it has every problem that can be found without Azure.
    """
    try:
        return _load(Path(config_path).resolve(), model, deployment)
    except ConfigError as error:
        raise ConfigError(*yaml_file.with_lines(error.problems)) from None


def _load(path: Path, model: ModelVersion | None, deployment: Path | None) -> Project:
    content = yaml_file.read(path)
    if deployment is not None:
        content["deployment"] = str(deployment.resolve())
    if isinstance(content.setdefault("workspace", {}), dict):
        content["workspace"] = {name: field.default for name, field in WorkspaceConfig.model_fields.items()} | content[
            "workspace"
        ]
    problems: list[Problem] = []
    try:
        content = yaml_file.fill_in(path, content)
    except ConfigError as error:
        problems += error.problems
    try:
        config = RolloutConfig.model_validate(content)
    except ValidationError as error:
        unset = {problem.key for problem in problems}
        problems += [problem for problem in yaml_file.problems_of(path, error) if problem.key not in unset]
    if problems:
        raise ConfigError(*problems)
    return _resolve(path, config, model)


def _resolve(path: Path, config: RolloutConfig, model: ModelVersion | None) -> Project:
    problems: list[Problem] = []

    def existing(key: str, relative: Path) -> Path:
        full = (path.parent / relative).resolve()
        if problem := yaml_file.no_file(path, key, full):
            problems.append(problem)
        return full

    endpoint_path = existing("endpoint", config.endpoint)
    deployment_path = existing("deployment", config.deployment)
    requests_path = _requests_path(path, config, deployment_path)
    if config.smoke_test.requests:
        problems += [] if requests_path.is_dir() else filter(None, [yaml_file.no_file(path, REQUESTS, requests_path)])
    elif deployment_path.exists() and not requests_path.is_file():
        beside = f"no recorded requests beside {yaml_file.display_path(deployment_path)}"
        problems.append(Problem(yaml_file.display_path(path), REQUESTS, beside, REQUESTS_REMEDY))
    schema_path = config.smoke_test.answer_schema and existing(
        "smoke_test.answer_schema", config.smoke_test.answer_schema
    )
    if problems:
        raise ConfigError(*problems)

    def collect(read: Any, *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except ConfigError as error:
            problems.extend(error.problems)

    endpoint = collect(endpoint_name, endpoint_path)
    recorded = collect(Recording.read, requests_path)
    problems += _truths(path, config, requests_path, recorded.requests() if recorded else [])
    if endpoint:
        problems += _no_mirror(path, config, endpoint_path)
    schema = collect(_answer_schema, schema_path) if schema_path else None
    if (deployment := collect(yaml_file.read, deployment_path)) is None:
        raise ConfigError(*problems)
    parts = collect(contents, deployment_path, deployment, {"model": str(model)} if model else {})
    if endpoint and deployment.get("endpoint_name", endpoint) != endpoint:
        problems.append(
            Problem(
                yaml_file.display_path(deployment_path),
                "endpoint_name",
                f"is {deployment['endpoint_name']!r}",
                f"write {endpoint!r}, the name in {yaml_file.display_path(endpoint_path)}",
            )
        )
    if problems:
        raise ConfigError(*problems)
    return Project(
        config_path=path,
        config=config,
        endpoint=endpoint,
        endpoint_path=endpoint_path,
        deployment_path=deployment_path,
        requests_path=requests_path,
        assets=parts.assets,
        recorded=recorded,
        answer_schema=schema,
        files=parts.digest(),
        model_of_yaml=_model_of(deployment),
    )


def _requests_path(path: Path, config: RolloutConfig, deployment_path: Path) -> Path:
    """The file or folder of recorded requests: the one that the config names, else what is beside the deployment."""
    if config.smoke_test.requests:
        return (path.parent / config.smoke_test.requests).resolve()
    beside = [deployment_path.parent / name for name in DEFAULT_NAMES]
    return next(filter(Path.exists, beside), beside[0])


def resolve_workspace(workspace: WorkspaceConfig | None) -> WorkspaceConfig:
    """The workspace with each `${ENV}` filled in; by default the one that the environment names."""
    content = (workspace or WorkspaceConfig()).model_dump()
    return WorkspaceConfig.model_validate(yaml_file.fill_in(Path("workspace"), content))


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


def _truths(path: Path, config: RolloutConfig, requests_path: Path, requests: list[RecordedRequest]) -> list[Problem]:
    """A comparison with true answers needs some."""
    if not requests or any(request.answer is not None for request in requests):
        return []
    problem = f"{yaml_file.display_path(requests_path)} holds no true answer"
    judges = {f"stages[{number}]": stage.judge for number, stage in enumerate(config.stages)}
    judges |= {"shadow": config.shadow.judge} if config.shadow else {}
    return [
        Problem(yaml_file.display_path(path), f"{key}.judge.quality", problem, "add answers there, or remove it")
        for key, judge in judges.items()
        if judge.quality
    ]


def _no_mirror(path: Path, config: RolloutConfig, endpoint_path: Path) -> list[Problem]:
    """Azure mirrors traffic on managed endpoints only."""
    if config.shadow is None or "compute" not in yaml_file.read(endpoint_path):
        return []
    problem = f"{yaml_file.display_path(endpoint_path)} is a Kubernetes endpoint, which cannot mirror traffic"
    return [Problem(yaml_file.display_path(path), "shadow", problem, "remove it")]


def _answer_schema(path: Path) -> dict[str, Any]:
    file = yaml_file.display_path(path)
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(Problem(file, "", f"is not valid JSON: {error}", "write a JSON schema")) from None
    if not isinstance(schema, dict):
        raise ConfigError(Problem(file, "", "is not a JSON object", "write a JSON schema"))
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        key = yaml_file.key_of(list(error.absolute_path))
        raise ConfigError(Problem(file, key, error.message, "correct the JSON schema")) from None
    return schema


def _model_of(deployment: dict[str, Any]) -> str:
    named = deployment.get("model")
    return (
        f"{named['name']}:{named['version']}" if isinstance(named, dict) and {"name", "version"} <= named.keys() else ""
    )
