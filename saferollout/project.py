"""A rollout config together with the Azure ML files that it points to, read and checked before Azure is called."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Self

import jsonschema
from pydantic import ValidationError

from saferollout import yamlfile
from saferollout.config import ModelVersion, RolloutConfig, WorkspaceConfig
from saferollout.domain import Value
from saferollout.errors import ConfigError, GateFailed, Problem
from saferollout.names import check_name
from saferollout.recorded import RecordedRequest, read_requests

RESOURCE_PREFIX = "azureml:"
FILE_PREFIX = "file:"


class Project(Value):
    """What a rollout starts from, as it was when it was read; all paths are absolute and existed."""

    config_path: Path
    config: RolloutConfig
    endpoint: str
    endpoint_path: Path
    deployment_path: Path
    model: ModelVersion | None
    """The registered model to roll out: asked for, or named with ``@latest`` in the deployment's YAML."""
    requests_path: Path
    answer_schema: dict[str, Any] | None
    files: str
    """A digest over all that the candidate is made of: its YAML, the model, the code and the environment."""
    model_of_yaml: str
    """Model and version as the YAML names them; empty where it does not tell."""

    @property
    def label(self) -> str:
        """What people call the candidate: its model and version, or its revision where the YAML does not tell."""
        return f"{self.model.name}:{self.model.version}" if self.model else self.model_of_yaml or self.revision

    @property
    def revision(self) -> str:
        """12 hex digits over the files and the registered model."""
        return hashlib.sha256(f"{self.files} {self.model}".encode()).hexdigest()[:12]

    def with_model(self, model: ModelVersion) -> Self:
        """The same with another registered model."""
        return self.model_copy(update={"model": model})

    def check_unchanged(self) -> None:
        """Raise GateFailed if the candidate's files are not any more what the revision stands for."""
        content = yamlfile.read(self.deployment_path)
        if _digest(content, _referenced_files(self.deployment_path, content, self.model is not None)) != self.files:
            msg = f"the files of {yamlfile.shown(self.deployment_path)} changed since the run began; start a new one"
            raise GateFailed(msg)

    def requests(self) -> list[RecordedRequest]:
        """The recorded requests, all of them."""
        return read_requests(self.requests_path)


def load(config_path: Path | str, model: ModelVersion | None = None, deployment: Path | None = None) -> Project:
    """Read the config and everything it points to; ``deployment`` takes the place of the config's.

    Raises ConfigError with every problem found, none of which needed Azure to be found.
    """
    path = Path(config_path).resolve()
    content = yamlfile.read(path)
    if deployment is not None:
        content["deployment"] = str(deployment.resolve())
    if isinstance(content.setdefault("workspace", {}), dict):
        content["workspace"] = {name: field.default for name, field in WorkspaceConfig.model_fields.items()} | content[
            "workspace"
        ]
    problems: list[Problem] = []
    try:
        content = yamlfile.fill_in(path, content)
    except ConfigError as error:
        problems += error.problems
    try:
        config = RolloutConfig.model_validate(content)
    except ValidationError as error:
        unset = {problem.key for problem in problems}
        problems += [problem for problem in yamlfile.problems_of(path, error) if problem.key not in unset]
    if problems:
        raise ConfigError(*problems)
    return _resolve(path, config, model)


def _resolve(path: Path, config: RolloutConfig, model: ModelVersion | None) -> Project:
    problems: list[Problem] = []

    def existing(key: str, relative: Path) -> Path:
        full = (path.parent / relative).resolve()
        if problem := _no_file(path, key, full):
            problems.append(problem)
        return full

    endpoint_path = existing("endpoint", config.endpoint)
    deployment_path = existing("deployment", config.deployment)
    if config.smoke_test.requests:
        requests_path = existing("smoke_test.requests", config.smoke_test.requests)
    else:
        requests_path = deployment_path.parent / "requests.jsonl"
        if deployment_path.exists() and (problem := _no_file(path, "smoke_test.requests", requests_path)):
            problems.append(dataclasses.replace(problem, remedy="put recorded requests there or name another file"))
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
    requests = collect(read_requests, requests_path)
    problems += _truths(path, config, requests_path, requests or [])
    if endpoint:
        problems += _no_mirror(path, config, endpoint_path)
    schema = collect(_answer_schema, schema_path) if schema_path else None
    if (deployment := collect(yamlfile.read, deployment_path)) is None:
        raise ConfigError(*problems)
    files = collect(_referenced_files, deployment_path, deployment, model is not None)
    if model is None and str(deployment.get("model")).endswith("@latest"):
        model = collect(_latest, deployment_path, str(deployment["model"]))
    if endpoint and deployment.get("endpoint_name", endpoint) != endpoint:
        problems.append(
            Problem(
                yamlfile.shown(deployment_path), "endpoint_name", f"is {deployment['endpoint_name']!r}",
                f"write {endpoint!r}, the name in {yamlfile.shown(endpoint_path)}",
            )
        )  # fmt: skip
    if problems:
        raise ConfigError(*problems)
    return Project(
        config_path=path, config=config, endpoint=endpoint, endpoint_path=endpoint_path,
        deployment_path=deployment_path, model=model, requests_path=requests_path, answer_schema=schema,
        files=_digest(deployment, files), model_of_yaml="" if model else _model_of(deployment["model"]),
    )  # fmt: skip


def resolve_workspace(workspace: WorkspaceConfig | None) -> WorkspaceConfig:
    """The workspace with each ``${ENV}`` filled in; by default the one that the environment names."""
    content = (workspace or WorkspaceConfig()).model_dump()
    return WorkspaceConfig.model_validate(yamlfile.fill_in(Path("workspace"), content))


def endpoint_name(path: Path) -> str:
    """The endpoint's name in its YAML; ConfigError if it breaks Azure's rules."""
    name = yamlfile.read(path).get("name")
    if name is None:
        raise ConfigError(Problem(yamlfile.shown(path), "name", "required, but not there", "add it"))
    try:
        return check_name("endpoint", str(name))
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(Problem(yamlfile.shown(path), "name", problem, remedy)) from None


def _latest(path: Path, text: str) -> ModelVersion:
    try:
        return ModelVersion.parse(text)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(Problem(yamlfile.shown(path), "model", problem, remedy)) from None


def _no_file(base: Path, key: str, full: Path) -> Problem | None:
    if full.is_file():
        return None
    problem = f"is a folder: {yamlfile.shown(full)}" if full.is_dir() else f"no such file: {yamlfile.shown(full)}"
    return Problem(yamlfile.shown(base), key, problem, "correct the path (it starts at this file)")


def _referenced_files(path: Path, content: dict[str, Any], registered_model: bool) -> dict[str, Path]:
    """Every local file or folder that the deployment's YAML points to, by its key."""
    found: dict[str, Path] = {}
    problems: list[Problem] = []

    def note(key: str, value: object, base: Path) -> None:
        if not isinstance(value, str) or value.startswith(RESOURCE_PREFIX) or "://" in value:
            return
        found[key] = (base / value).resolve()
        if not found[key].exists() and (problem := _no_file(path, key, found[key])):
            problems.append(problem)

    def section(key: str) -> tuple[dict[str, Any], Path]:
        """A part of the YAML, written there or in a file of its own, and where its paths start."""
        value = content.get(key)
        if isinstance(value, str) and value.startswith(FILE_PREFIX):
            note(key, value.removeprefix(FILE_PREFIX), path.parent)
            return readable(found[key]), found[key].parent
        return value if isinstance(value, dict) else {}, path.parent

    def readable(file: Path) -> dict[str, Any]:
        try:
            return yamlfile.read(file) if file.exists() else {}
        except ConfigError as error:
            problems.extend(error.problems)
            return {}

    if not registered_model:
        model, base = section("model")
        note("model.path", model.get("path"), base)
        if not isinstance(named := content.get("model"), str | dict) or not named:
            problems.append(
                Problem(
                    yamlfile.shown(path), "model", "required, but not there", "name a model, e.g. azureml:diabetes:2"
                )
            )
    code, base = section("code_configuration")
    note("code_configuration.code", code.get("code"), base)
    if folder := found.get("code_configuration.code"):
        note("code_configuration.scoring_script", code.get("scoring_script"), folder)
    environment, base = section("environment")
    note("environment.conda_file", environment.get("conda_file"), base)
    if conda := found.get("environment.conda_file"):
        readable(conda)
    if isinstance(build := environment.get("build"), dict):
        note("environment.build.path", build.get("path"), base)
    if problems:
        raise ConfigError(*problems)
    return found


def _truths(
    path: Path, config: RolloutConfig, requests_path: Path, requests: list[RecordedRequest]
) -> list[Problem]:  # fmt: skip
    """A comparison with true answers needs some."""
    if not requests or any(request.answer is not None for request in requests):
        return []
    problem = f"{yamlfile.shown(requests_path)} holds no true answer"
    judges = {f"stages[{number}]": stage.judge for number, stage in enumerate(config.stages)}
    judges |= {"shadow": config.shadow.judge} if config.shadow else {}
    return [
        Problem(yamlfile.shown(path), f"{key}.judge.quality", problem, "add answers there, or remove it")
        for key, judge in judges.items() if judge.quality
    ]  # fmt: skip


def _no_mirror(path: Path, config: RolloutConfig, endpoint_path: Path) -> list[Problem]:
    """Azure mirrors traffic on managed endpoints only."""
    if config.shadow is None or "compute" not in yamlfile.read(endpoint_path):
        return []
    problem = f"{yamlfile.shown(endpoint_path)} is a Kubernetes endpoint, which cannot mirror traffic"
    return [Problem(yamlfile.shown(path), "shadow", problem, "remove it")]


def _answer_schema(path: Path) -> dict[str, Any]:
    file = yamlfile.shown(path)
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(Problem(file, "", f"no JSON: {error}", "write a JSON schema")) from None
    if not isinstance(schema, dict):
        raise ConfigError(Problem(file, "", "no JSON object", "write a JSON schema"))
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        key = yamlfile.key_of(list(error.absolute_path))
        raise ConfigError(Problem(file, key, error.message, "correct the JSON schema")) from None
    return schema


def _model_of(named: Any) -> str:
    if isinstance(named, str):
        return named.removeprefix("azureml:").rpartition("/models/")[2].replace("/versions/", ":")
    if isinstance(named, dict) and {"name", "version"} <= named.keys():
        return f"{named['name']}:{named['version']}"
    return ""


def _digest(deployment: dict[str, Any], files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    # the slot's name changes from rollout to rollout and is no part of what the candidate is
    spec = {key: value for key, value in deployment.items() if key not in ("name", "$schema")}
    digest.update(json.dumps(spec, sort_keys=True, default=str).encode())
    for key, root in sorted(files.items()):
        for file in [root] if root.is_file() else sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{key}\0{file.relative_to(root)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()
