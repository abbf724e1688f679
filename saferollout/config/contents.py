"""What a candidate is made of, as its deployment's YAML says: settings, local files, and assets that Azure holds."""

import functools
import hashlib
import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saferollout import uploads
from saferollout.config import assets, yaml_file
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import ConfigError, Problem

FILE_PREFIX = "file:"
RUN_PREFIX = "runs:/"
"""How MLflow names what a run wrote; Azure ML registers a model from it."""
OF_MLFLOW = (RUN_PREFIX, "models:/", "mlflow-artifacts:/")
MODEL = "model.path"
CODE = "code_configuration.code"
SCRIPT = "code_configuration.scoring_script"


class Contents(Value):
    """What the YAML points to, all of which was there when it was read."""

    path: Path
    spec: dict[str, Any]
    files: dict[str, Path]
    """Local files and folders by their key."""
    script: str
    """The scoring script's path in a local code folder; empty without one."""
    assets: dict[str, str]
    """The registered `model` and `environment`, where they are not local."""
    uploaded: dict[str, dict[str, Path]]
    """What the SDK uploads of each of the files and folders, by its name there."""

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file and folder as it is uploaded, by its key.

        Raises:
            ConfigError: Some files cannot be read.
        """
        found: dict[str, str] = {}
        problems: list[Problem] = []
        for key, root in sorted(self.files.items()):
            try:
                found[key] = uploads.digest(self.uploaded[key] if root.is_dir() else {"": root})
            except ValueError as error:
                problems.append(_problem(self.path, key, error))
        if problems:
            raise ConfigError(*problems)
        return found

    def digest(self) -> str:
        """Return a digest over the settings and over the files as they are uploaded.

        Raises:
            ConfigError: Some files cannot be read.
        """
        # a slot's name changes from rollout to rollout, and an asset counts as the version that it means
        left_out = {"name", "$schema", *self.assets}
        spec = {key: value for key, value in self.spec.items() if key not in left_out}
        whole = hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode())
        for key, content in self.digests.items():
            # only a model's name reaches the candidate: its folder or file lies under it in $AZUREML_MODEL_DIR
            name = self.files[key].name if key == MODEL else ""
            whole.update(f"{key}\0{name}\0{content}\0".encode())
        return whole.hexdigest()


def contents(path: Path, spec: dict[str, Any], chosen: Mapping[str, str]) -> Contents:
    """Return all that a deployment's YAML points to; `chosen` assets take the place of what it says.

    Raises:
        ConfigError: A file is not there or is not uploaded, or an asset cannot be found by its name; it has every
            problem.
    """
    reader = _Reader(path, spec, chosen)
    reader.check_keys()
    reader.read_model()
    script = reader.read_code()
    reader.read_environment()
    registered = reader.find_registered()
    uploaded = reader.list_uploads(script)
    if reader.problems:
        raise ConfigError(*reader.problems)
    return Contents(path=path, spec=spec, files=reader.files, script=script, assets=registered, uploaded=uploaded)


def digests_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Each key of a deployment's YAML with a digest of its value, which may be a secret; those of a slot left out."""
    return {
        key: hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
        for key, value in spec.items()
        if key not in ("$schema", "name", "endpoint_name")
    }


def _problem(path: Path, key: str, error: ValueError) -> Problem:
    what, _, remedy = str(error).rpartition("; ")
    return Problem(yaml_file.display_path(path), key, what, remedy)


class _Reader:
    """Reads a deployment's YAML part by part, and collects the files that it names and what is wrong with them."""

    def __init__(self, path: Path, spec: dict[str, Any], chosen: Mapping[str, str]) -> None:
        self.path = path
        self.spec = spec
        self.chosen = chosen
        self.files: dict[str, Path] = {}
        self.problems: list[Problem] = []
        self._sections: dict[str, tuple[dict[str, Any], Path]] = {}

    def check_keys(self) -> None:
        """Check that the YAML's own keys are words, as everywhere but in environment variables and tags."""
        for key in self.spec:
            if not isinstance(key, str):
                self._report(str(key), "unknown key", "keys are words")

    def read_model(self) -> None:
        """Note the model's file or folder; a model there must be."""
        model, base = self._section("model")
        is_named = {"name", "version"} <= model.keys()  # Azure ML registers it, and so takes what a run wrote
        if not self._is_of_mlflow(MODEL, model.get("path"), OF_MLFLOW[1:] if is_named else OF_MLFLOW):
            self._note(MODEL, model.get("path"), base)
        named = self.spec.get("model")
        if "model" in self.chosen or self._is_of_mlflow("model", named, OF_MLFLOW):
            return
        if not (isinstance(named, str | dict) and named):
            self._report("model", "required, but not there", "name a model, e.g. azureml:diabetes:2")

    def read_code(self) -> str:
        """Note the folder of code; return the scoring script's path in it, empty without a local folder."""
        code, base = self._section("code_configuration")
        self._note(CODE, code.get("code"), base)
        folder, script = self.files.get(CODE), code.get("scoring_script")
        if not folder or not isinstance(script, str):
            return ""
        _, problem = yaml_file.locate(self.path, SCRIPT, folder / script)
        if problem:
            self.problems.append(problem)
        return "" if problem else script

    def read_environment(self) -> None:
        """Note the environment's conda file, which must be readable, and its build context."""
        environment, base = self._section("environment")
        self._note("environment.conda_file", environment.get("conda_file"), base, folder=False)
        if conda := self.files.get("environment.conda_file"):
            self._read(conda)
        if isinstance(build := environment.get("build"), dict):
            self._note("environment.build.path", build.get("path"), base)

    def find_registered(self) -> dict[str, str]:
        """Return the chosen assets, and the model and the environment that the YAML names in Azure."""
        registered = dict(self.chosen)
        code, _ = self._section("code_configuration")
        for key, named in (
            ("model", self.spec.get("model")),
            ("environment", self.spec.get("environment")),
            (CODE, code.get("code")),
        ):
            if key in self.chosen or not isinstance(named, str) or not named.startswith(assets.PREFIX):
                continue
            try:
                assets.check(key, named)
            except ValueError as error:
                what, _, remedy = str(error).partition("; ")
                self._report(key, what, remedy)
            if key != CODE:
                registered[key] = named
        return registered

    def list_uploads(self, script: str) -> dict[str, dict[str, Path]]:
        """Return what is uploaded of each file and folder, the scoring script among it."""
        uploaded: dict[str, dict[str, Path]] = {}
        for key, root in sorted(self.files.items()):
            if key == CODE and any(problem.key == SCRIPT for problem in self.problems):
                continue
            try:
                uploaded[key] = uploads.files(root)
                if key != CODE and root.is_dir():
                    uploads.check_noticed(root, uploaded[key])
            except ValueError as error:
                self.problems.append(_problem(self.path, key, error))
        if script and CODE in uploaded and posixpath.normpath(script) not in uploaded[CODE]:
            folder = yaml_file.display_path(self.files[CODE])
            remedy = f"move it there, or do not exclude it in {' or '.join(uploads.IGNORE_FILES)}"
            self._report(SCRIPT, f"{script} is not uploaded with {folder}", remedy)
        return uploaded

    def _section(self, key: str) -> tuple[dict[str, Any], Path]:
        """Return a part of the YAML, written there or in a file of its own, and where its paths start."""
        if key not in self._sections:
            self._sections[key] = self._read_section(key)
        return self._sections[key]

    def _read_section(self, key: str) -> tuple[dict[str, Any], Path]:
        value = self.spec.get(key) if key not in self.chosen else None
        if isinstance(value, str) and value.startswith(FILE_PREFIX):
            self._note(key, value.removeprefix(FILE_PREFIX), self.path.parent, folder=False)
            part = self.files.get(key)
            return (self._read(part), part.parent) if part else ({}, self.path.parent)
        return value if isinstance(value, dict) else {}, self.path.parent

    def _note(self, key: str, value: object, base: Path, *, folder: bool = True) -> None:
        """Note a local file, or a folder, under its key; a registered asset or an address is not one."""
        if not isinstance(value, str) or value.startswith((assets.PREFIX, RUN_PREFIX)) or "://" in value:
            return
        full, problem = yaml_file.locate(self.path, key, base / value, folder=folder)
        if problem:
            self.problems.append(problem)
        else:
            self.files[key] = full

    def _is_of_mlflow(self, key: str, value: object, prefixes: tuple[str, ...]) -> bool:
        """Whether there is an address of MLflow where Azure ML takes none, which is reported."""
        if not isinstance(value, str) or not value.startswith(prefixes):
            return False
        remedy = "write azureml:<name>:<version> of a registered model"
        if value.startswith(RUN_PREFIX):
            remedy += ", or the address under model.path, beside the name and version that it shall get"
        self._report(key, f"{value!r} is an address of MLflow, which Azure ML does not take here", remedy)
        return True

    def _read(self, part: Path) -> dict[str, Any]:
        """Return a part's own file, empty where it cannot be read."""
        try:
            return yaml_file.read(part)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return {}

    def _report(self, key: str, problem: str, remedy: str) -> None:
        self.problems.append(Problem(yaml_file.display_path(self.path), key, problem, remedy))
