"""The container engine that the `docker` command reaches, if there is one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localazure.conda import BuildFailed
from localazure.processes import Process

ANSWER_TIMEOUT_S = 10
_LABEL = "localazure.owner"

_CLIENT = ("PATH", "HOME", "DOCKER_", "CONTAINER_", "XDG_", "SSH_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""The environment variables that the command itself goes by begin so."""


class Engine:
    """Runs containers that die with local Azure. `owner` tells its containers from those of another one."""

    def __init__(self, owner: Path) -> None:
        self._owner = hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:16]

    async def answers(self) -> bool:
        """Whether there is a `docker` command, and an engine behind it."""
        if shutil.which("docker") is None:
            return False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                code, _ = await self._docker("ps", "--quiet")
        except TimeoutError:
            return False
        return code == 0

    async def sweep(self) -> None:
        """Remove the containers that an earlier process left, because its machine died."""
        if await self.answers():
            _, left = await self._docker("ps", "--all", "--quiet", "--filter", f"label={_LABEL}={self._owner}")
            if left:
                await self._docker("rm", "--force", *left)

    async def pull(self, reference: str, tell: Callable[[str], None]) -> str:
        """Have the image here; returns how to name it. Raises BuildFailed."""
        code, _ = await self._docker("image", "inspect", "--format", "{{.Id}}", reference)
        if code:
            await self._told(tell, "pull", "--quiet", reference)
        return reference

    async def build(self, context: Path, dockerfile: str, tell: Callable[[str], None]) -> str:
        """Build the image, layers that were built before aside; returns how to name it. Raises BuildFailed."""
        tag = f"localazure/{hashlib.sha256(f'{context}/{dockerfile}'.encode()).hexdigest()[:24]}"
        await self._told(tell, "build", "--tag", tag, "--file", str(context / dockerfile), str(context))
        return tag

    async def ports(self, name: str) -> dict[int, int]:
        """On which ports of this machine's loopback the container's ports are reached, once it runs."""
        code, lines = await self._docker("port", name)
        pairs = (line.partition(" -> ") for line in lines if not code)
        return {int(inner.partition("/")[0]): int(outer.rpartition(":")[2]) for inner, _, outer in pairs}

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
        """Start a container, its ports published on loopback; returns its name, and the process that it dies with."""
        name = f"localazure-{uuid.uuid4().hex[:12]}"
        client = {key: value for key, value in os.environ.items() if key.upper().startswith(_CLIENT)}
        argv = ["docker", "run", "--name", name, "--label", f"{_LABEL}={self._owner}", "--pull", "never"]
        for port in ports:
            argv += ["--publish", f"127.0.0.1::{port}"]
        for target, source in mounts.items():
            argv += ["--mount", f"type=bind,source={source},target={target},readonly"]
        for key, value in environment.items():
            # Values may be secrets, and other users see a command's arguments; the command's own settings are none.
            argv += ["--env", f"{key}={value}" if key.upper().startswith(_CLIENT) else key]
        process = await Process.start(
            [*argv, image, *command],
            output=output,
            env={**environment, **client},
            grace_s=grace_s,
            farewell=["docker", "rm", "--force", name],
        )
        return name, process

    async def _docker(self, *argv: str) -> tuple[int, list[str]]:
        """The exit code, and the lines of the output."""
        process = await Process.start(["docker", *argv], output=subprocess.PIPE)
        try:
            lines = (await process.read()).decode(errors="replace").splitlines()
            return await process.wait(), lines
        except asyncio.CancelledError:
            await process.stop()
            raise

    async def _told(self, tell: Callable[[str], None], *argv: str) -> None:
        code, lines = await self._docker(*argv)
        for line in lines:
            tell(line)
        if code:
            raise BuildFailed(" ".join(line.strip() for line in lines[-8:]) or f"docker {argv[0]} ended with {code}")
