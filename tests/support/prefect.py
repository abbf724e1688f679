"""A Prefect server that a test stops and starts, and a proxy that stands in its place."""

from pathlib import Path
from typing import Self
from uuid import UUID

import httpx
from starlette.requests import Request
from starlette.responses import Response

from localazure.core.web import reserve
from saferollout_cli.demo import processes
from tests.support.forks import forked
from tests.support.stack import REPOSITORY, UNSCHEDULED, Stack


class Server:
    """A Prefect server that can be killed and started again; the programs of its environment are forked.

    While it is open, nobody else is given its port, whether it runs or not.
    """

    def __init__(self, directory: Path, forks: str) -> None:
        self.env = forked(processes.prefect_env(directory), forks) | UNSCHEDULED
        self.url = self.env["PREFECT_API_URL"]
        self.database = directory / "prefect" / "prefect.db"
        self._directory = directory
        self._process: processes.Process | None = None
        self._port = reserve("127.0.0.1", int(self.env["PREFECT_SERVER_API_PORT"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._port.close()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = processes.prefect_server(self._directory, self.env, REPOSITORY)
        self._process.wait_until(processes.healthy(self.url), processes.START_S)

    def stop(self) -> None:
        """Stop it."""
        if self._process:
            with self._process:
                self._process.stop()

    def set_state(self, run: UUID, kind: str) -> None:
        """Set the run's state as any program can."""
        body = {"state": {"type": kind}, "force": True}
        Stack(self._directory, self.env).api("POST", f"/flow_runs/{run}/set_state", json=body)


class Proxy:
    """Stands before the server, as Prefect Cloud's edge does, and answers some requests itself."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.throttled = 0
        """How many requests are answered 429 from now on."""
        self.lost = 0
        """How many answers to a resume are lost on their way back."""

    async def hand_on(self, request: Request) -> Response:
        """Hand the request on, or answer it."""
        if self.throttled:
            self.throttled -= 1
            return Response(status_code=429)
        url = f"{self._server.url}{request.url.path.removeprefix('/api')}?{request.url.query}"
        async with httpx.AsyncClient() as http:
            body = await request.body()
            answered = await http.request(
                request.method, url, content=body, headers={"content-type": "application/json"}
            )
        if self.lost and request.url.path.endswith("/resume"):
            self.lost -= 1
            return Response(status_code=502)
        return Response(answered.content, answered.status_code, media_type=answered.headers.get("content-type"))
