"""A deployment's revision: files and program, prepared on disk."""

import asyncio
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from localazure.compute.data_collection import DataCollection
from localazure.compute.instances import Setup
from localazure.compute.probes import Probe
from localazure.compute.programs import Programs
from localazure.compute.properties import DeploymentProperties, Registered
from localazure.storage.downloads import Downloads, Files

SERVER_LOG = "inference-server.log"
STORAGE_LOG = "storage-initializer.log"

_HOME = "home"


class Revisions:
    """Prepares revisions below `directory`: one folder per deployment, one folder per revision in it."""

    def __init__(self, directory: Path, downloads: Downloads, programs: Programs) -> None:
        self._directory = directory
        self._downloads = downloads
        self._programs = programs

    def folder(self, endpoint: str, deployment: str) -> Path:
        """Return the deployment's folder: its logs, and its revisions. Names have been checked: they are not paths."""
        return self._directory / endpoint.lower() / deployment.lower()

    async def prepare(
        self,
        endpoint: str,
        deployment: str,
        properties: DeploymentProperties,
        registered: Registered,
        collection: DataCollection | None = None,
    ) -> Setup:
        """Bring everything to disk and make the program; the same properties give an equal setup again.

        Args:
            endpoint: Its name.
            deployment: Its name.
            properties: What it runs.
            registered: When its assets were registered: that of another moment is another asset.
            collection: What it collects.

        Returns:
            What makes instances.

        Raises:
            ArmError: ImageBuildFailure, BadArgument, or OutOfQuota.
        """
        folder = self.folder(endpoint, deployment)
        (folder / _HOME).mkdir(parents=True, exist_ok=True)
        code = properties.code_configuration.code_id if properties.code_configuration else None
        model = properties.model
        target = folder / _digest(code, registered.get("codes"), model, registered.get("models"))
        if not target.exists():
            partial = target.with_suffix(f".{uuid.uuid4().hex}")  # an earlier thread may still write another
            await asyncio.to_thread(self._downloads.lay_out, partial, code, model, _writer(folder / STORAGE_LOG))
            partial.rename(target)
        log = folder / SERVER_LOG
        program = await self._programs.prepare(Files(target, folder / _HOME), properties, _writer(log), collection)
        return Setup(
            program=program,
            folder=target,
            log=log,
            liveness=Probe.parse(properties.liveness_probe),
            readiness=Probe.parse(properties.readiness_probe),
            startup=Probe.parse(properties.startup_probe) if properties.startup_probe else None,
        )

    def tidy(self, endpoint: str, deployment: str, keep: Setup) -> None:
        """Delete the deployment's other revisions."""
        for path in self.folder(endpoint, deployment).iterdir():
            if path.is_dir() and path.name not in (keep.folder.name, _HOME):
                shutil.rmtree(path, ignore_errors=True)

    def delete(self, endpoint: str, deployment: str) -> None:
        """Delete the deployment's files, logs and all."""
        shutil.rmtree(self.folder(endpoint, deployment), ignore_errors=True)


def _digest(*assets: str | None) -> str:
    return hashlib.sha256(json.dumps(assets).encode()).hexdigest()[:16]


def _writer(path: Path) -> Callable[[str], None]:
    def write(line: str) -> None:
        with path.open("a") as file:
            file.write(line + "\n")

    return write
