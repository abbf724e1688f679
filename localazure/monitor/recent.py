"""What the scoring requests of the last minutes amount to, by deployment."""

import datetime
from dataclasses import dataclass, field

from localazure.monitor.traffic import Traffic, utc_now

WINDOW = datetime.timedelta(minutes=5)
BUCKETS = 60
RATE_WINDOW = datetime.timedelta(minutes=1)


@dataclass
class Recent:
    """Requests and errors of one deployment: in buckets over the window, oldest first, and of the last minute."""

    requests: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    errors: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    last_minute: list[float] = field(default_factory=list)
    """The milliseconds that each took."""
    last_minute_errors: int = 0

    @property
    def per_second(self) -> float:
        """Of the last minute."""
        return len(self.last_minute) / RATE_WINDOW.total_seconds()

    @property
    def error_rate(self) -> float | None:
        """Of the last minute; None without requests."""
        return self.last_minute_errors / len(self.last_minute) if self.last_minute else None

    def latency_ms(self, share: float) -> float | None:
        """Return a quantile of the last minute; None without requests."""
        ordered = sorted(self.last_minute)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def recent(traffic: Traffic) -> dict[tuple[str, str], Recent]:
    """Return them by (endpoint in lower case, deployment); the deployment is empty where a request reached none."""
    now = utc_now()
    found: dict[tuple[str, str], Recent] = {}
    for request in traffic.since(now - WINDOW):
        row = found.setdefault((request.endpoint, request.deployment), Recent())
        age = now - request.time
        bucket = min(max(BUCKETS - 1 - int(age / WINDOW * BUCKETS), 0), BUCKETS - 1)
        failed = request.status >= 400
        row.requests[bucket] += 1
        row.errors[bucket] += failed
        if age <= RATE_WINDOW:
            row.last_minute.append(request.total_ms)
            row.last_minute_errors += failed
    return found
