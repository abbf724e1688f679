"""One local Azure: put together, started, served, and stopped."""

import asyncio
import contextlib
import errno
import functools
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from localazure.arm import installation
from localazure.arm.app import WORKSPACE_PATH, build
from localazure.arm.assembly import Arm
from localazure.arm.errors import GatewayError, StartFailed
from localazure.arm.installation import Installation
from localazure.arm.limits import Limits, RateLimits
from localazure.compute.assembly import Compute
from localazure.core import certificates
from localazure.core.certificates import Certificates
from localazure.core.clock import Clock, Timing
from localazure.core.host import Host
from localazure.core.store import Store
from localazure.core.web import Connections, Web, listen, reserve
from localazure.extras import admin, azure_cli
from localazure.extras.assembly import Extras
from localazure.extras.management import Management, Serving
from localazure.extras.prometheus import Prometheus, ScoringCounts
from localazure.gateway.envoy import Gateway
from localazure.gateway.listener import Issuer
from localazure.monitor.assembly import Monitor
from localazure.monitor.log_analytics import workspace_id
from localazure.resources.assembly import Resources
from localazure.resources.quota import Quota
from localazure.resources.routing import wanted_routes
from localazure.resources.workspace import METADATA_PATH
from localazure.storage.assembly import Storage

LOG_FILE = "localazure.log"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The options of `localazure up`."""

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
    limits: Limits = field(default_factory=Limits)
    """What the buckets of management requests hold."""
    identity_based: bool = False
    """Whether the datastore has no secrets, so that clients sign in at the storage account themselves."""
    strict: bool = False
    """Whether a read-only property that differs from what is held is refused; else it is dropped."""


async def serve(state: Path, options: Options, ready: Callable[[dict[str, str]], None]) -> None:
    """Run a local Azure on the directory `state` until SIGTERM or SIGINT.

    Args:
        state: Where everything is kept; it must exist.
        options: What it shall be like.
        ready: Called with the variables that clients need, once everything answers.

    Raises:
        StartFailed: It cannot start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with installation.locked(state):
        installation.withdraw(state)
        async with contextlib.AsyncExitStack() as stack:
            await _run(state, options, ready, stopping, stack)


async def _run(
    state: Path,
    options: Options,
    ready: Callable[[dict[str, str]], None],
    stopping: asyncio.Event,
    stack: contextlib.AsyncExitStack,
) -> None:
    known, host = Installation.load(state), options.host
    if not host.is_loopback:
        log.warning(
            "whoever reaches %s reaches this local Azure; its keys, tokens and secrets alone guard it", host.address
        )
    tls = certificates.ensure(state / "tls", host.name)
    known.port = stack.enter_context(_reserve(host, options.port, known.port)).getsockname()[1]
    known.scoring_port = stack.enter_context(_reserve(host, 0, known.scoring_port)).getsockname()[1]
    web_socket = listen(host.address, known.port)
    collector_socket = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    collector_port = collector_socket.getsockname()[1]
    authority, connections = host.authority(known.port), Connections()
    store = stack.enter_context(contextlib.closing(Store(state / "state.sqlite")))
    clock = Clock(options.timing, options.time_scale)
    arm = Arm.build(known, f"https://{authority}", store, clock, connections.cut)
    issuer = Issuer(arm.identity.issuer, arm.identity.public_keys)
    gateway = Gateway(host, options.quota.connections, state / "gateway", tls, state, clock, issuer, collector_port)
    stack.push_async_callback(gateway.stop)
    try:
        await gateway.start(known.scoring_port)
    except GatewayError as error:
        raise StartFailed(str(error)) from error
    known.save(state)

    storage = Storage.build(arm, state, authority, known.storage_key, collector_port)
    routes = functools.partial(wanted_routes, store, options.quota)
    compute = await Compute.build(arm, state, tls, gateway, storage, routes)
    stack.push_async_callback(compute.zygotes.stop)
    stack.push_async_callback(compute.runtime.stop)
    stack.push_async_callback(arm.operations.stop)
    resources = Resources.build(arm, storage, compute, options.quota, options.identity_based)
    registry = CollectorRegistry()
    counts, delay_s = ScoringCounts(registry), options.ingestion_delay_s
    monitor = Monitor.build(arm, state, gateway, compute.runtime, resources.inventory, delay_s, counts.add)

    collector = Web(storage.collector.application)
    collecting = await _start_web(collector, collector_socket, clock)
    await compute.runtime.publish()
    resources.resume()
    arm.operations.end_interrupted()

    rooms = (resources, storage, monitor)
    guarded_routes = [*arm.operations.routes(), *(route for room in rooms for route in room.routes(WORKSPACE_PATH))]
    management = build(arm.scope, arm.identity, arm.location, [], guarded_routes)
    prometheus = Prometheus(registry, store, arm.operations, compute.runtime, monitor.traffic, clock)
    tasks = await stack.enter_async_context(_meanwhile())
    front = Management(connections, arm.operations, resources.resume, clock, tasks)
    extras = Extras.build(
        arm, compute.runtime, monitor.traffic, management, front, prometheus, known.admin_token, options.record
    )
    stack.callback(extras.close)
    open_routes = [*arm.identity.routes(), *arm.managed_identity.routes()]
    open_routes += [*(route for room in rooms for route in room.open_routes()), *extras.routes()]
    limits = RateLimits(options.limits, clock)
    application = build(arm.scope, arm.identity, arm.location, open_routes, guarded_routes, limits, options.strict)
    served, sockets = extras.wrap(arm.faults.wrap(application)), [web_socket]

    async def start() -> Serving:
        web = Web(served, tls, connections)
        return web, await _start_web(web, sockets.pop() if sockets else listen(host.address, known.port), clock)

    await front.open(start)
    for work in (resources.restarts.keep(), *monitor.works(gateway, clock)):
        tasks.create_task(work)
    environment = _environment(arm, known, tls) | azure_cli.environment(state / "azure-cli")
    stack.enter_context(installation.published(state, environment))
    log.info("local Azure is ready at %s, scoring at %s", arm.base_url, gateway.url)
    ready(environment)
    await stopping.wait()
    log.info("stopping")
    collector.end()
    await asyncio.gather(front.close(), collecting)


def _environment(arm: Arm, known: Installation, tls: Certificates) -> dict[str, str]:
    """Return the variables that clients need."""
    return {
        "ARM_CLOUD_METADATA_URL": f"{arm.base_url}{METADATA_PATH}?api-version=2022-09-01",
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{arm.base_url}/",
        "REQUESTS_CA_BUNDLE": str(tls.bundle),
        "SSL_CERT_FILE": str(tls.bundle),
        "CURL_CA_BUNDLE": str(tls.bundle),
        "NODE_EXTRA_CA_CERTS": str(tls.bundle),
        "AZURE_AUTHORITY_HOST": arm.base_url,
        "AZURE_TENANT_ID": known.tenant_id,
        "AZURE_CLIENT_ID": known.client_id,
        "AZURE_CLIENT_SECRET": known.client_secret,
        "IDENTITY_ENDPOINT": arm.managed_identity.endpoint,
        "IDENTITY_HEADER": arm.managed_identity.header(known.client_id),
        # The client secret would need an argument: azure-identity does not ask Microsoft about authorities only then.
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "AZURE_SUBSCRIPTION_ID": arm.scope.subscription_id,
        "AZURE_RESOURCE_GROUP": arm.scope.resource_group,
        "AZUREML_WORKSPACE_NAME": arm.scope.workspace,
        "AZURE_MONITOR_ENDPOINT": arm.base_url,
        "AZURE_LOG_ANALYTICS_WORKSPACE_ID": workspace_id(arm.scope),
        "LOCALAZURE_ADMIN_URL": f"{arm.base_url}{admin.ROOT}",
        "LOCALAZURE_ADMIN_TOKEN": known.admin_token,
    }


async def _start_web(web: Web, web_socket: socket.socket, clock: Clock) -> asyncio.Task[None]:
    """Return the server as a task, once it answers.

    Raises:
        StartFailed: It ended before.
    """
    serving = asyncio.create_task(web.serve([web_socket]), name="web server")
    while not web.started:
        if serving.done():
            await serving
            raise StartFailed("the web server did not start")
        await clock.sleep(0.01)
    return serving


@contextlib.asynccontextmanager
async def _meanwhile() -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks that go on during the block and end only with it; where one fails, all ends with its error."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
            raise _BlockEnded
    except* _BlockEnded:
        pass
    except* Exception:
        log.exception("local Azure ends, for a part of it has failed")
        raise


class _BlockEnded(Exception):
    """Ends the tasks."""


def _reserve(host: Host, port: int, last: int) -> socket.socket:
    if not port and last:
        with contextlib.suppress(OSError):
            return reserve(host.address, last)
    try:
        return reserve(host.address, port)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise StartFailed(f"{host.address} is not this machine's address: give another --host, or none") from error
        raise StartFailed(f"port {port} cannot be used: {error.strerror}; give another --port, or none") from error
