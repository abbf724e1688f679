"""A deployment's revision: code, model and environment, brought together on disk as Azure lays them out."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from localazure.arm import ArmError, bad_request, not_implemented
from localazure.assets import NO_ENGINE, Assets, Location, require_conda
from localazure.blobs import Blobs
from localazure.conda import BuildFailed, of_mlflow_model, parse
from localazure.disk import Disk, is_full
from localazure.environments import Environments
from localazure.instances import Setup
from localazure.probes import Probe

SERVER_LOG = "inference-server.log"
STORAGE_LOG = "storage-initializer.log"

_MLFLOW = {"scoringScript": "mlflow_score.py"}
"""The code of an MLflow model that comes without any: a file of ours."""

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PASSED_ON_PREFIXES = ("OPENBLAS_", "OMP_", "MKL_")


class Revisions:
    """Prepares revisions below `directory`: one folder per deployment, one folder per revision in it."""

    def __init__(self, directory: Path, assets: Assets, blobs: Blobs, environments: Environments, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._assets = assets
        self._blobs = blobs
        self._environments = environments

    def folder(self, endpoint: str, deployment: str) -> Path:
        """The deployment's folder: its logs, and its revisions. Names have been checked: they are no paths."""
        return self._directory / endpoint.lower() / deployment.lower()

    def require_assets(self, properties: dict[str, Any]) -> None:
        """Raise ArmError for assets that do not exist, or that local Azure cannot run."""
        mlflow = False
        if properties.get("model"):
            _, _, model = self._assets.get("models", properties["model"])
            self._assets.location(model["properties"]["modelUri"])
            mlflow = model["properties"]["modelType"] == "mlflow_model"
        if properties.get("environmentId"):
            _, _, resource = self._assets.get("environments", properties["environmentId"])
            require_conda(resource)
        elif not mlflow or properties["codeConfiguration"]:
            raise bad_request("A deployment needs an environment, unless its model is an MLflow model without code.")
        if properties["codeConfiguration"]:
            self._assets.get("codes", properties["codeConfiguration"]["codeId"])
        elif not mlflow:
            raise not_implemented(f"{NO_ENGINE}: give code_configuration, or a model of the type mlflow_model")

    async def prepare(self, endpoint: str, deployment: str, properties: dict[str, Any]) -> Setup:
        """Bring everything to disk and build the environment; the same properties give an equal setup again.

        Raises ArmError: ImageBuildFailure, BadArgument for missing files.
        """
        folder = self.folder(endpoint, deployment)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / self._digest(properties)
        tell_storage = _writer(folder / STORAGE_LOG)
        if not target.exists():
            partial = target.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            await asyncio.to_thread(self._lay_out, partial, properties, tell_storage)
            partial.rename(target)
        app_root, model_dir = _parts(target)
        script = PurePosixPath((properties["codeConfiguration"] or _MLFLOW)["scoringScript"])
        entry = (app_root / script).resolve()
        if not entry.is_relative_to(app_root.resolve()) or not entry.is_file():
            found = ", ".join(sorted(path.name for path in app_root.iterdir())) or "nothing"
            raise ArmError(
                400, "BadArgument", f"The scoring script '{script}' is not in the code folder, which has: {found}."
            )
        python = await self._build(properties.get("environmentId"), model_dir, _writer(folder / SERVER_LOG))
        (folder / "home").mkdir(exist_ok=True)
        return Setup(
            python=python,
            entry_script=app_root / script,
            app_root=app_root,
            environment=self._environ(python, folder / "home", model_dir, properties),
            log=folder / SERVER_LOG,
            liveness=Probe.parse(properties["livenessProbe"]),
            readiness=Probe.parse(properties["readinessProbe"]),
        )

    def tidy(self, endpoint: str, deployment: str, keep: Setup) -> None:
        """Delete the deployment's other revisions."""
        folder = self.folder(endpoint, deployment)
        kept = keep.app_root.relative_to(folder).parts[0]
        for path in folder.iterdir():
            if path.is_dir() and path.name not in (kept, "home"):
                shutil.rmtree(path, ignore_errors=True)

    def delete(self, endpoint: str, deployment: str) -> None:
        """Delete the deployment's files, logs and all."""
        shutil.rmtree(self.folder(endpoint, deployment), ignore_errors=True)

    def _lay_out(self, target: Path, properties: dict[str, Any], tell: Callable[[str], None]) -> None:
        if properties["codeConfiguration"]:
            _, _, code = self._assets.get("codes", properties["codeConfiguration"]["codeId"])
            self._copy(self._assets.location(code["properties"]["codeUri"]), target / "code", "code", tell)
        else:
            (target / "code" / "mlflow").mkdir(parents=True)
            shutil.copy(Path(__file__).with_name(_MLFLOW["scoringScript"]), target / "code" / "mlflow")
        if properties.get("model"):
            name, version, model = self._assets.get("models", properties["model"])
            location = self._assets.location(model["properties"]["modelUri"])
            directory = target / "azureml-models" / name / version
            self._copy(location, directory, f"model {name}:{version}", tell)

    def _copy(self, location: Location, target: Path, what: str, tell: Callable[[str], None]) -> None:
        try:
            self._disk.require_space()
            path = self._blobs.write_to(location.container, location.path, target)
        except FileNotFoundError as error:
            raise ArmError(400, "BadArgument", f"The files of the {what} are not in the storage: {error}") from error
        except ValueError as error:
            raise ArmError(400, "BadArgument", f"The files of the {what} cannot be used: {error}") from error
        except OSError as error:
            if not is_full(error):
                raise
            tell(f"ERROR: {error}")
            message = f"The disk is too small to download the {what}: choose an instance type with more disk space."
            raise ArmError(400, "OutOfQuota", message) from error
        tell(f"Downloaded the {what} to {path.relative_to(target.parent)}")

    async def _build(self, environment_id: str | None, model_dir: Path | None, tell: Callable[[str], None]) -> Path:
        try:
            if environment_id:
                name, version, resource = self._assets.get("environments", environment_id)
                what, wanted = f"environment '{name}:{version}'", parse(require_conda(resource))
            else:
                what, wanted = "model's own environment", of_mlflow_model(model_dir)
            return await self._environments.build(wanted, tell)
        except BuildFailed as error:
            message = f"The image build of the {what} failed: {error}"
            tell(f"ERROR: {message}")
            raise ArmError(400, "ImageBuildFailure", message) from error

    def _digest(self, properties: dict[str, Any]) -> str:
        parts = [properties.get("model"), (properties["codeConfiguration"] or _MLFLOW).get("codeId")]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _environ(self, python: Path, home: Path, model_dir: Path | None, properties: dict[str, Any]) -> dict[str, str]:
        """A container's environment: none of this process's secrets, and threads as for a small machine."""
        environ = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
        }
        environ.setdefault("OMP_NUM_THREADS", "1")
        environ |= {
            "PATH": f"{python.parent}{os.pathsep}{environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "PYTHONUNBUFFERED": "1",
            **{name: str(value) for name, value in (properties.get("environmentVariables") or {}).items()},
        }
        if model_dir:
            environ["AZUREML_MODEL_DIR"] = str(model_dir)
        return environ


def _parts(target: Path) -> tuple[Path, Path | None]:
    """(code folder, model folder) of a revision that is laid out."""
    (code,) = (target / "code").iterdir()
    models = target / "azureml-models"
    return code, next(models.glob("*/*")) if models.is_dir() else None


def _writer(path: Path) -> Callable[[str], None]:
    def write(line: str) -> None:
        with path.open("a") as file:
            file.write(line + "\n")

    return write
