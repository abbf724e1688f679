"""The container engine that the `docker` command reaches, if there is one."""

import asyncio
import csv
import hashlib
import io
import logging
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localazure.arm.errors import BuildFailed
from localazure.core.processes import Process

TIMEOUT_S = 10
_LABEL = "localazure.owner"

_CLIENT = re.compile(
    r"PATH|HOME|(DOCKER|BUILDKIT|BUILDX|CONTAINERS?|XDG|SSH|LD)_.*|(HTTPS?|NO|ALL)_PROXY", re.IGNORECASE
)
"""The environment variables that the command itself goes by."""

_MISUNDERSTOOD = re.compile(r"unknown (shorthand )?(flag|command)|is not a docker command", re.IGNORECASE)
"""Its complaint is about how it was called, and not about what it was asked for."""

log = logging.getLogger(__name__)


class Engine:
    """Runs containers that die with local Azure. `owner` sets its containers apart from those of another one."""

    def __init__(self, owner: Path) -> None:
        self._label = f"{_LABEL}={hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:16]}"
        self._names = f"localazure-{uuid.uuid4().hex[:12]}-"
        """What the names of our own containers begin with."""
        self._swept = False
        self.silence = ""
        """Why it did not answer, the last time that it did not."""

    async def answers(self) -> bool:
        """Return whether there is a `docker` command, and an engine behind it.

        The first time that there is, the containers are removed that an earlier process left, because its machine died.
        """
        if shutil.which("docker") is None:
            self.silence = "there is no such command"
            return False
        code, lines = await self._docker("ps", "--all", "--format={{.Names}}", "--filter", f"label={self._label}")
        if code:
            self.silence = " ".join(line.strip() for line in lines if line.strip()) or f"it ends with code {code}"
            return False
        if not self._swept:
            left = [line for line in lines if line.startswith("localazure-") and not line.startswith(self._names)]
            if left:
                code, lines = await self._docker("rm", "--force", *left)
            if code:
                log.warning("containers that an earlier local Azure left are still there: %s", " ".join(lines))
            self._swept = not code
        return True

    async def pull(self, reference: str, report: Callable[[str], None]) -> str:
        """Have the image here.

        Returns:
            Its id, for the reference may name another image later.

        Raises:
            BuildFailed: It cannot be pulled.
        """
        if (found := await self._id(reference)) is None:
            await self._report_docker(report, "pull", "--quiet", reference)
            found = await self._id(reference)
        if found is None:
            raise BuildFailed(f"{reference} has been pulled, and cannot be found")
        return found

    async def build(self, context: Path, dockerfile: str, report: Callable[[str], None]) -> str:
        """Build the image, layers that were built before aside.

        Returns:
            Its id.

        Raises:
            BuildFailed: The engine refuses.
        """
        with tempfile.TemporaryDirectory() as directory:
            identifier = Path(directory) / "id"
            await self._report_docker(
                report,
                *("build", "--iidfile", str(identifier), "--label", self._label),
                *("--file", str(context / dockerfile), str(context)),
            )
            return identifier.read_text().strip()

    async def ports(self, name: str) -> dict[int, int]:
        """Return on which ports of this machine's loopback the container's ports are reached, once it runs."""
        code, lines = await self._docker("port", name)
        pairs = (re.fullmatch(r"(\d+)/tcp -> .*:(\d+)", line.strip()) for line in lines if not code)
        return {int(pair[1]): int(pair[2]) for pair in pairs if pair}

    async def run(
        self,
        image: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        mounts: Mapping[str, Path],
        ports: Sequence[int],
        output: int,
        grace_s: float,
    ) -> tuple[str, Process]:
        """Start a container, its ports published on loopback.

        The variables of `environment` must be such that `unpassable` names none.

        Returns:
            Its name, and the process that it dies with.
        """
        name = self._names + uuid.uuid4().hex[:12]
        argv = ["docker", "run", "--rm", "--name", name, "--label", self._label, "--pull", "never"]
        for port in ports:
            argv += ["--publish", f"127.0.0.1::{port}"]
        for target, source in mounts.items():
            argv += ["--mount", _csv("type=bind", f"source={source}", f"target={target}", "readonly")]
        # Values may be secrets, and other users see a command's arguments.
        by_name = {key: value for key, value in environment.items() if not _fits_a_line(value)}
        for key in by_name:
            argv += ["--env", key]
        with tempfile.TemporaryFile() as file:
            file.writelines(f"{key}={value}\n".encode() for key, value in environment.items() if key not in by_name)
            file.seek(0)
            process = await Process.start(
                [*argv, "--env-file", f"/dev/fd/{file.fileno()}", image, *command],
                output=output,
                env={**os.environ, **by_name},
                pass_fds=[file.fileno()],
                grace_s=grace_s,
                farewell=["docker", "rm", "--force", name],
            )
        return name, process

    async def _id(self, reference: str) -> str | None:
        code, lines = await self._docker("image", "inspect", "--format={{.Id}}", reference)
        return next((line for line in lines if not code and re.fullmatch(r"(sha256:)?[0-9a-f]{64}", line)), None)

    async def _docker(self, *argv: str, timeout_s: float | None = TIMEOUT_S) -> tuple[int, list[str]]:
        """Return the exit code, and the lines of the output.

        Raises:
            CancelledError: The caller was cancelled.
        """
        process = await Process.start(["docker", *argv], output=subprocess.PIPE, grace_s=1)
        try:
            async with asyncio.timeout(timeout_s):
                output = await process.read()
        except TimeoutError:
            await process.stop()
            return 1, [f"docker {argv[0]} did not answer within {timeout_s:g} s"]
        except asyncio.CancelledError:
            await process.stop()
            raise
        code, lines = await process.wait(), output.decode(errors="replace").splitlines()
        if code and any(_MISUNDERSTOOD.search(line) for line in lines):
            log.error("docker does not understand '%s': %s", " ".join(argv), " ".join(lines))
        return code, lines

    async def _report_docker(self, report: Callable[[str], None], *argv: str) -> None:
        code, lines = await self._docker(*argv, timeout_s=None)
        for line in lines:
            report(line)
        if code:
            raise BuildFailed(" ".join(line.strip() for line in lines[-8:]) or f"docker {argv[0]} ended with {code}")


def unpassable(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that no container can be given: the command takes their values from its own only."""
    return [name for name, value in environment.items() if _CLIENT.fullmatch(name) and not _fits_a_line(value)]


def _fits_a_line(value: str) -> bool:
    return len(value) < 10_000 and not any(end in value for end in "\r\n")


def _csv(*fields: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
