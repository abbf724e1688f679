"""A Prometheus page about local Azure itself."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, exposition
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localazure.arm.operations import Operations
from localazure.compute.runtime import Runtime
from localazure.core.clock import Clock
from localazure.core.store import Store
from localazure.monitor.traffic import Request as ScoringRequest
from localazure.monitor.traffic import Traffic
from localazure.resources.deployment_documents import deployments_table
from localazure.resources.endpoint_documents import endpoints_table

PATH = "/metrics"
SCORING_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 180)


class ScoringCounts:
    """The scoring requests, counted in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "localazure_scoring_requests",
            "Scoring requests, live and mirrored; without a deployment where they reached none.",
            ("endpoint", "deployment", "kind", "status"),
            registry=registry,
        )
        self._duration_s = Histogram(
            "localazure_scoring_request_duration_seconds",
            "How long scoring requests took.",
            ("endpoint", "deployment", "kind"),
            registry=registry,
            buckets=SCORING_BUCKETS_S,
        )

    def add(self, request: ScoringRequest) -> None:
        """Count a scoring request."""
        labels = (request.endpoint, request.deployment, "mirror" if request.mirrored else "live")
        self._requests.labels(*labels, str(request.status)).inc()
        self._duration_s.labels(*labels).observe(request.total_ms / 1000)


class Prometheus(Collector):
    """Counts management requests in `registry`, and says what is, when it is asked."""

    def __init__(
        self,
        registry: CollectorRegistry,
        store: Store,
        operations: Operations,
        runtime: Runtime,
        traffic: Traffic,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints_table(store)
        self._deployments = deployments_table(store)
        self._operations = operations
        self._runtime = runtime
        self._traffic = traffic
        self._clock = clock
        self._registry = registry
        registry.register(self)
        self._management = Histogram(
            "localazure_management_request_duration_seconds",
            "Requests to the management port.",
            ("method", "status"),
            registry=registry,
        )

    def routes(self) -> list[Route]:
        """Return the route of the page that Prometheus scrapes."""
        return [Route(PATH, self._page, methods=["GET"])]

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return `app`, with its requests counted, but those for this page."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] == PATH:
                await app(scope, receive, send)
            else:
                await self._count(app, scope, receive, send)

        return handle

    async def _count(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = self._clock.monotonic(), "none"

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await app(scope, receive, note)
        finally:
            self._management.labels(scope["method"], status).observe(self._clock.monotonic() - started)

    def collect(self) -> Iterator[Metric]:
        """Yield what is now."""
        yield from self._now()

    def _now(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("localazure_endpoint_state", "1 for the state it is in.", labels=("endpoint", "state"))
        share = GaugeMetricFamily(
            "localazure_traffic_percent", "Live and mirrored traffic.", labels=("endpoint", "deployment", "kind")
        )
        for endpoint_state in self._endpoints.values():
            name, properties = endpoint_state.resource.name, endpoint_state.resource.properties
            info.add_metric((name, properties.provisioning_state), 1)
            for kind, shares in (("live", properties.traffic), ("mirror", properties.mirror_traffic)):
                for deployment, percent in shares.items():
                    share.add_metric((name, deployment, kind), percent)
        state = GaugeMetricFamily(
            "localazure_deployment_state", "1 for the state it is in.", labels=("endpoint", "deployment", "state")
        )
        wanted = GaugeMetricFamily(
            "localazure_instances_wanted", "Instances that were asked for.", labels=("endpoint", "deployment")
        )
        ready = GaugeMetricFamily(
            "localazure_instances_ready", "Instances that serve.", labels=("endpoint", "deployment")
        )
        for key, deployment_state in self._deployments.items():
            resource = deployment_state.resource
            labels = (key.partition("/")[0], resource.name)
            state.add_metric((*labels, resource.properties.provisioning_state), 1)
            wanted.add_metric(labels, resource.sku.capacity)
            ready.add_metric(labels, self._runtime.instances(*labels))
        running = GaugeMetricFamily("localazure_operations_running", "Operations under way.")
        running.add_metric((), self._operations.running)
        yield from (info, share, state, wanted, ready, running)

    async def _page(self, request: Request) -> Response:
        self._traffic.catch_up()
        encoder, media_type = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(self._registry), media_type=media_type)
