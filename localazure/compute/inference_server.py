"""Azure ML's own inference server, as a process on a loopback port of its own."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localazure.compute.instances import STOP_GRACE_S, Address, Started
from localazure.compute.zygotes import Server, Zygotes
from localazure.core.clock import Clock

BACKLOG = 2048


@dataclass(frozen=True)
class InferenceServer:
    """`azmlinfsrv` with a scoring script."""

    python: Path
    entry_script: Path
    app_root: Path
    environment: Mapping[str, str]
    zygotes: Zygotes = field(compare=False)
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
            server = Server(
                self.python,
                ("--entry_script", str(self.entry_script), "--port", str(port)),
                {**self.environment, "AML_APP_ROOT": str(self.app_root)},
                self.app_root,
                STOP_GRACE_S,
            )
            process = await self.zygotes.start(server, listener, output)
        health = f"http://127.0.0.1:{port}/"

        async def address() -> Address:
            return Address(port, health, health)

        return Started(process, address)
