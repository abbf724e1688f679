"""One local Azure: everything put together, started, served, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import secrets
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from localazure.arm.app import WORKSPACE_PATH, build
from localazure.arm.faults import Faults
from localazure.arm.identity import Identity, new_key
from localazure.arm.ids import Scope
from localazure.arm.operations import Operations
from localazure.compute.engine import Engine
from localazure.compute.environments import Environments
from localazure.compute.programs import Programs
from localazure.compute.revisions import Revisions
from localazure.compute.runtime import Runtime
from localazure.core import certificates
from localazure.core.clock import Clock, Timing
from localazure.core.disk import Disk
from localazure.core.host import Host
from localazure.core.store import Store
from localazure.core.web import Connections, Web
from localazure.extras import admin
from localazure.extras.page import Page
from localazure.extras.prometheus import Monitoring
from localazure.extras.recorder import Recorder
from localazure.gateway import listener, xds
from localazure.gateway.envoy import Gateway, GatewayError
from localazure.monitor.log_analytics import Logs, workspace_id
from localazure.monitor.metrics import Metrics
from localazure.monitor.samples import Samples
from localazure.monitor.traffic import Traffic
from localazure.resources import deployments, endpoints
from localazure.resources.quota import Quota
from localazure.resources.restarts import Returns
from localazure.resources.workspace import METADATA_PATH, Workspace
from localazure.storage.assets import Assets
from localazure.storage.blobs import Blobs
from localazure.storage.downloads import Storage
from localazure.storage.registry import Registry

LOCATION = "local"
RESOURCE_GROUP = "local"
WORKSPACE = "local"
LOG_FILE = "localazure.log"

_ENVIRONMENT_FILE = "environment.json"
_LOCK_FILE = "lock"
_IDENTITY_FILE = "identity.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What `localazure up` can be told."""

    host: Host = field(default_factory=Host)
    port: int = 0
    """0 takes the port of the last time where that is free, else one that the OS chooses."""
    ingestion_delay_s: float = 0
    """How long a request takes to show in metrics and logs."""
    timing: Timing = Timing.FAST
    time_scale: float = 1
    """Divides the durations of Timing.AZURE."""
    record: Path | None = None
    """Where every management request and its answer is written."""
    quota: Quota = field(default_factory=Quota)


class StartFailed(Exception):
    """Local Azure cannot start; the message tells why and what to do."""


class NotRunning(Exception):
    """No local Azure runs on the state directory."""


def running_environment(state: Path) -> dict[str, str]:
    """The variables of the local Azure that runs on `state`. Raises NotRunning."""
    try:
        if (state / _LOCK_FILE).exists():
            with FileLock(state / _LOCK_FILE, timeout=0):
                pass
    except Timeout:
        with contextlib.suppress(OSError, ValueError):
            environment: dict[str, str] = json.loads((state / _ENVIRONMENT_FILE).read_text())
            return environment
        raise NotRunning(f"the local Azure on {state} is still starting") from None
    except OSError:
        pass
    raise NotRunning(f"no local Azure runs on {state}: start one with 'localazure up --state-dir {state}'")


async def serve(state: Path, options: Options, ready: Callable[[dict[str, str]], None]) -> None:
    """Run a local Azure on the directory `state` until SIGTERM or SIGINT.

    `ready` gets the variables that clients need, once everything answers. Raises StartFailed.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        with FileLock(state / _LOCK_FILE, timeout=0):  # it falls with its holder
            await _serve_locked(state, options, ready, stopping)
    except Timeout as error:
        raise StartFailed(f"another local Azure runs on {state}: stop it, or give another --state-dir") from error


async def _serve_locked(
    state: Path, options: Options, ready: Callable[[dict[str, str]], None], stopping: asyncio.Event
) -> None:
    clock, disk, connections = Clock(options.timing, options.time_scale), Disk(), Connections()
    environment_file = state / _ENVIRONMENT_FILE
    environment_file.unlink(missing_ok=True)
    known = _identity(state)
    host = options.host
    if not host.is_loopback:
        log.warning(
            "whoever reaches %s reaches this local Azure; its keys, tokens and secrets alone guard it", host.address
        )
    tls = certificates.ensure(state / "tls", host.name)
    web_socket = _listen(host, options.port, known.get("port", 0))
    authority = host.authority(web_socket.getsockname()[1])
    base_url = f"https://{authority}"
    scope = Scope(known["subscription_id"], RESOURCE_GROUP, WORKSPACE)

    async with contextlib.AsyncExitStack() as stack:
        store = Store(state / "state.sqlite")
        stack.callback(store.close)
        operations = Operations(store, scope, base_url, LOCATION, clock)
        identity = Identity(
            base_url, known["tenant_id"], known["client_id"], known["client_secret"], known["token_key"]
        )
        issuer = listener.Issuer(identity.issuer, identity.public_keys)
        gateway = Gateway(host, options.quota.connections, state / "gateway", tls, state, clock, issuer)
        stack.push_async_callback(gateway.stop)
        await _start_gateway(gateway, known.get("scoring_port", 0))
        _remember(state, {**known, "port": web_socket.getsockname()[1], "scoring_port": gateway.port})

        runtime = Runtime(gateway, clock)
        stack.push_async_callback(runtime.stop)
        stack.push_async_callback(operations.stop)
        blobs = Blobs(state / "blobs", store, authority, bytes.fromhex(known["storage_key"]), disk)
        assets = Assets(store, blobs, scope)
        workspace = Workspace(base_url, scope, LOCATION, known["tenant_id"], blobs)
        registry = Registry(base_url, scope, LOCATION, identity)
        storage = Storage(assets, blobs, disk)
        engine = Engine(state)
        await engine.answers()
        programs = Programs(assets, storage, Environments(clock), engine)
        revisions = Revisions(state / "deployments", storage, programs)
        online_endpoints = endpoints.Endpoints(store, operations, runtime, revisions, identity, scope, LOCATION)
        returns = Returns(operations, clock)
        online_deployments = deployments.Deployments(
            store, operations, returns, runtime, assets, programs, revisions, options.quota, scope, LOCATION
        )

        traffic = Traffic(gateway.access_log, options.ingestion_delay_s)
        samples = Samples(gateway, runtime, disk, state, clock)
        metrics = Metrics(traffic, samples, store, scope, LOCATION)
        logs = Logs(traffic, identity, scope)

        def wanted(running: dict[str, dict[str, xds.Target]]) -> list[xds.Endpoint]:
            routes = [
                endpoints.wanted_routes(document, running.get(name, {}), options.quota)
                for name, document in store.items(endpoints.KIND)
            ]
            return [endpoint for endpoint in routes if endpoint]

        runtime.endpoints = wanted
        await runtime.publish()
        online_endpoints.resume()
        online_deployments.restore()
        operations.end_interrupted()
        faults = Faults(clock, disk, connections.cut)
        administration = admin.Admin(known["admin_token"], faults, identity, runtime, scope, clock)
        monitoring = Monitoring(store, operations, runtime, traffic, clock)
        page = Page(store, runtime, traffic, faults, scope, clock)
        application = build(
            scope,
            identity,
            open_routes=[
                *workspace.cloud_routes(),
                *identity.routes(),
                *registry.open_routes(),
                *blobs.routes(),
                *logs.open_routes(),
                *administration.routes(),
                *administration.shown_here([*page.routes(), *monitoring.routes()]),
            ],
            guarded_routes=[
                *operations.routes(),
                *workspace.routes(WORKSPACE_PATH),
                *online_endpoints.routes(WORKSPACE_PATH),
                *online_deployments.routes(WORKSPACE_PATH),
                *assets.routes(WORKSPACE_PATH),
                *registry.routes(),
                *metrics.routes(WORKSPACE_PATH),
                *logs.routes(WORKSPACE_PATH),
            ],
        )
        administration.app = application
        served = faults.wrap(application)
        if options.record:
            recorder = Recorder(options.record, clock)
            stack.callback(recorder.close)
            served = recorder.wrap(served)
        web = Web(monitoring.wrap(served), tls, connections)
        serving = asyncio.create_task(web.serve([web_socket]), name="web server")
        while not web.started:
            if serving.done():
                await serving
                raise StartFailed("the web server did not start")
            await clock.sleep(0.01)
        await stack.enter_async_context(
            _meanwhile(returns.keep(), samples.follow(), traffic.follow(gateway.rotate_log, clock))
        )
        environment = {
            "ARM_CLOUD_METADATA_URL": f"{base_url}{METADATA_PATH}?api-version=2022-09-01",
            "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{base_url}/",
            "REQUESTS_CA_BUNDLE": str(tls.bundle),
            "SSL_CERT_FILE": str(tls.bundle),
            "AZURE_AUTHORITY_HOST": base_url,
            "AZURE_TENANT_ID": known["tenant_id"],
            "AZURE_CLIENT_ID": known["client_id"],
            "AZURE_CLIENT_SECRET": known["client_secret"],
            "AZURE_SUBSCRIPTION_ID": scope.subscription_id,
            "AZURE_RESOURCE_GROUP": scope.resource_group,
            "AZUREML_WORKSPACE_NAME": scope.workspace,
            "AZURE_MONITOR_ENDPOINT": base_url,
            "AZURE_LOG_ANALYTICS_WORKSPACE_ID": workspace_id(scope),
            "LOCALAZURE_ADMIN_URL": f"{base_url}{admin.ROOT}",
            "LOCALAZURE_ADMIN_TOKEN": known["admin_token"],
        }
        _write_private(environment_file, environment)
        stack.callback(environment_file.unlink, missing_ok=True)
        log.info("local Azure is ready at %s, scoring at %s", base_url, gateway.url)
        ready(environment)
        await stopping.wait()
        log.info("stopping")
        web.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let these go on during the block; they end only with it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listen(host: Host, port: int, last: int) -> socket.socket:
    if not port and last:
        with contextlib.suppress(OSError):
            return socket.create_server((host.address, last))
    try:
        return socket.create_server((host.address, port))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise StartFailed(f"{host.address} is no address of this machine: give another --host, or none") from error
        raise StartFailed(f"port {port} cannot be used: {error.strerror}; give another --port, or none") from error


async def _start_gateway(gateway: Gateway, last: int) -> None:
    try:
        await gateway.start(last)
    except GatewayError as error:
        if not last:
            raise StartFailed(str(error)) from error
        log.warning("the gateway does not start on its last port %s; another is taken: %s", last, error)
        await gateway.stop()
        try:
            await gateway.start()
        except GatewayError as second:
            raise StartFailed(str(second)) from second


def _identity(state: Path) -> dict[str, Any]:
    """What stays the same when a local Azure is started again: its ids, secrets, and ports where they are free."""
    known: dict[str, Any] = {
        "subscription_id": str(uuid.uuid4()),
        "tenant_id": str(uuid.uuid4()),
        "client_id": str(uuid.uuid4()),
        "client_secret": secrets.token_urlsafe(32),
        "storage_key": secrets.token_hex(32),
        "admin_token": secrets.token_urlsafe(32),
        "token_key": new_key(),
    }
    with contextlib.suppress(OSError, ValueError):
        known |= json.loads((state / _IDENTITY_FILE).read_text())
    _remember(state, known)
    return known


def _remember(state: Path, known: dict[str, Any]) -> None:
    _write_private(state / _IDENTITY_FILE, known)


def _write_private(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    temporary.replace(path)
