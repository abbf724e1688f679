"""What a candidate is made of, as its deployment's YAML says: settings, local files, and assets that Azure holds."""

import hashlib
import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saferollout import assets, uploads, yamlfile
from saferollout.domain import Value
from saferollout.errors import ConfigError, Problem

FILE_PREFIX = "file:"
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
    """The registered ``model`` and ``environment``, where they are not local."""

    def digest(self) -> str:
        """A digest over the settings and over the files as they are uploaded; ConfigError for what cannot be."""
        # a slot's name changes from rollout to rollout, and an asset counts as the version that it stands for
        left_out = {"name", "$schema", *self.assets}
        spec = {key: value for key, value in self.spec.items() if key not in left_out}
        whole = hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode())
        problems: list[Problem] = []
        for key, root in sorted(self.files.items()):
            try:
                found = uploads.files(root)
                if key != CODE and root.is_dir():
                    uploads.check_noticed(root, found)
                content = uploads.digest(found if root.is_dir() else {"": root})
            except ValueError as error:
                what, _, remedy = str(error).rpartition("; ")
                problems.append(Problem(yamlfile.shown(self.path), key, what, remedy))
                continue
            if key == CODE and self.script and posixpath.normpath(self.script) not in found:
                problems.append(
                    Problem(
                        yamlfile.shown(self.path), SCRIPT, f"{self.script} is not uploaded with {yamlfile.shown(root)}",
                        f"move it there, or do not exclude it in {' or '.join(uploads.IGNORE_FILES)}",
                    )
                )  # fmt: skip
            # only a model's name reaches the candidate: its folder or file lies under it in $AZUREML_MODEL_DIR
            name = root.name if key == MODEL else ""
            whole.update(f"{key}\0{name}\0{content}\0".encode())
        if problems:
            raise ConfigError(*problems)
        return whole.hexdigest()


def contents(path: Path, spec: dict[str, Any], chosen: Mapping[str, str]) -> Contents:
    """All that a deployment's YAML points to; ``chosen`` assets take the place of what it says.

    Raises ConfigError with every file that is not there and every asset that cannot be found by its name.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    file = yamlfile.shown(path)

    def note(key: str, value: object, base: Path) -> None:
        if not isinstance(value, str) or value.startswith(assets.PREFIX) or "://" in value:
            return
        found[key] = (base / value).resolve()
        if not found[key].exists() and (problem := yamlfile.no_file(path, key, found[key])):
            problems.append(problem)

    def section(key: str) -> tuple[dict[str, Any], Path]:
        """A part of the YAML, written there or in a file of its own, and where its paths start."""
        value = spec.get(key) if key not in chosen else None
        if isinstance(value, str) and value.startswith(FILE_PREFIX):
            note(key, value.removeprefix(FILE_PREFIX), path.parent)
            return readable(found[key]), found[key].parent
        return value if isinstance(value, dict) else {}, path.parent

    def readable(part: Path) -> dict[str, Any]:
        try:
            return yamlfile.read(part) if part.exists() else {}
        except ConfigError as error:
            problems.extend(error.problems)
            return {}

    model, base = section("model")
    note(MODEL, model.get("path"), base)
    if "model" not in chosen and not (isinstance(named := spec.get("model"), str | dict) and named):
        remedy = "name a model, e.g. azureml:diabetes:2"
        problems.append(Problem(file, "model", "required, but not there", remedy))
    code, base = section("code_configuration")
    note(CODE, code.get("code"), base)
    folder, script = found.get(CODE), code.get("scoring_script")
    if folder and isinstance(script, str) and (problem := yamlfile.no_file(path, SCRIPT, folder / script)):
        problems.append(problem)
    environment, base = section("environment")
    note("environment.conda_file", environment.get("conda_file"), base)
    if conda := found.get("environment.conda_file"):
        readable(conda)
    if isinstance(build := environment.get("build"), dict):
        note("environment.build.path", build.get("path"), base)
    registered = dict(chosen)
    for key, named in (
        ("model", spec.get("model")),
        ("environment", spec.get("environment")),
        (CODE, code.get("code")),
    ):
        if key in chosen or not isinstance(named, str) or not named.startswith(assets.PREFIX):
            continue
        try:
            assets.check(key, named)
        except ValueError as error:
            what, _, remedy = str(error).partition("; ")
            problems.append(Problem(file, key, what, remedy))
        if key != CODE:
            registered[key] = named
    if problems:
        raise ConfigError(*problems)
    script = script if folder and isinstance(script, str) else ""
    return Contents(path=path, spec=spec, files=found, script=script, assets=registered)
