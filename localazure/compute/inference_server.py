"""Azure ML's own inference server, as a process on a loopback port of its own."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localazure.compute.instances import STOP_GRACE_S, Address, Started
from localazure.core.clock import Clock
from localazure.core.processes import Process

BACKLOG = 2048

_LAUNCHER = Path(__file__).with_name("scoring_server.py")


@dataclass(frozen=True)
class InferenceServer:
    """`azmlinfsrv` with a scoring script."""

    python: Path
    entry_script: Path
    app_root: Path
    environment: Mapping[str, str]
    hint: str = field(default="", compare=False)
    """What to say when it fails."""

    scored_at = "/score"

    async def start(self, log: Path, _clock: Clock) -> Started:
        """Start a process of it, its output to `log`.

        Returns:
            The process.
        """
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        with listener, log.open("ab") as output:
            port = listener.getsockname()[1]
            process = await Process.start(
                [
                    *(self.python, _LAUNCHER, str(listener.fileno())),
                    *("--entry_script", self.entry_script, "--port", str(port)),
                ],
                output=output,
                env={**self.environment, "AML_APP_ROOT": str(self.app_root)},
                cwd=self.app_root,
                pass_fds=[listener.fileno()],
                grace_s=STOP_GRACE_S,
            )
        health = f"http://127.0.0.1:{port}/"

        async def address() -> Address:
            return Address(port, health, health)

        return Started(process, address)
