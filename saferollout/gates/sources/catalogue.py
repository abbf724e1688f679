"""The sources that a stage's config names, connected to the endpoint."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from saferollout.config.judge import JudgeConfig
from saferollout.config.recorded_requests import RecordedRequest
from saferollout.config.sources import WINDOW_S, SourceConfig, SourceKind
from saferollout.domain.endpoint import EndpointState
from saferollout.gates.scoring import Scorer
from saferollout.gates.sources.azure_metrics import AzureMetrics
from saferollout.gates.sources.counts import Ledger
from saferollout.gates.sources.probes import Probes
from saferollout.gates.sources.prometheus import Prometheus
from saferollout.gates.sources.source import Source
from saferollout.gates.sources.traffic_log import TrafficLog
from saferollout.gates.sources.windows import Windows


def make_sources(
    config: JudgeConfig,
    endpoint: EndpointState,
    requests: Sequence[RecordedRequest],
    connect: Callable[[], Awaitable[Scorer]],
    *,
    candidate: str,
    live: str,
    mirrored: bool = False,
    answer_schema: dict[str, Any] | None = None,
) -> list[Source]:
    """Each of the config's sources; `mirrored` says that the candidate's requests are copies of live ones."""
    ledger = Ledger()
    probed = any(source.kind is SourceKind.PROBES for source in config.sources)

    def connected(source: SourceConfig) -> Source:
        windows = Windows(WINDOW_S[source.kind] or 1, source.delay_s)
        match source.kind:
            case SourceKind.PROBES:
                instances = min(endpoint.deployments[name].instance_count for name in (candidate, live))
                return Probes(
                    connect,
                    requests,
                    config,
                    candidate=candidate,
                    live=live,
                    instances=instances,
                    ledger=ledger,
                    answer_schema=answer_schema,
                )
            case SourceKind.AZURE_METRICS:
                return AzureMetrics(endpoint, windows, ledger, candidate=candidate, live=live)
            case SourceKind.TRAFFIC_LOG:
                return TrafficLog(
                    endpoint.name,
                    source.workspace_id or "",
                    windows,
                    candidate=candidate,
                    live=live,
                    with_latencies=not probed,
                    mirrored=mirrored,
                )
            case SourceKind.PROMETHEUS:
                return Prometheus(source, windows, ledger, candidate=candidate, live=live)

    return [connected(source) for source in config.sources]
