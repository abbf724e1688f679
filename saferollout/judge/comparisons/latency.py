"""Is the candidate slower than the live deployment?"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.domain.evidence import Check
from saferollout.domain.words import plural
from saferollout.judge.batch import Batch
from saferollout.judge.betting.allowance import Allowance
from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.counts import check_latencies
from saferollout.judge.betting.event_rates import EventRates
from saferollout.judge.betting.quantiles import LatencyHistogram
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.history import History
from saferollout.judge.plots import CANDIDATE, LIVE, Plot, close_figure, open_figure
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

Array = NDArray[np.float64]

#: The quantiles of the live deployment's latency that make good cut points.
CUT_QUANTILES = (0.5, 0.9, 0.95, 0.99)
_PLOT_QUANTILES = (0.5, 0.9, 0.95, 0.99)


def cut_points_ms(live_latencies_ms: ArrayLike) -> list[float]:
    """Return cut points for `Latency`: the live deployment's p50, p90, p95 and p99 before the stage.

    Args:
        live_latencies_ms: Latencies measured *before* the comparison starts, shape (T,), at least one.

    Raises:
        ValueError: There is no latency.
    """
    x = np.asarray(live_latencies_ms, dtype=np.float64)
    if not x.size:
        msg = "cut points need live latencies from before the stage"
        raise ValueError(msg)
    return sorted(set(np.quantile(x, CUT_QUANTILES).tolist()))


class Latency(EventRates, Comparison):
    """An anytime-valid test that requests exceed cut points more often on the candidate.

    For each cut point L, "slower than L" is an event like an error, and `EventRates` compares how often it happens; the
    e-values of the cut points are averaged. As the cut points are fixed before the comparison starts, that
    covers any kind of slowing: a shift shows at the median, a long tail at the 99th percentile. An error's latency
    says nothing; leave errors out.

    With an allowance (`slack`, `slack_ms`) the candidate's requests are held against what L allows. A limit
    (`slo_ms`) is a cut point without one: there a millisecond counts.

    The candidate's first `warm_up` requests are left out (caches fill, workers start).

    Args:
        cut_points_ms: L in ms, fixed in advance.
        alpha: The error probability of each direction, in (0, 1); shared by the cut points.
        margin: Harm is exceeding a cut point more than 1 + margin times as often. At least 0.
        delta: Health is exceeding every cut point less than 1 + delta times as often. Above `margin`.
        warm_up: The candidate's requests to leave out at the start.
        autocorrelation: Lag-1 autocorrelation of slow requests to allow for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).
        slack: The share by which the candidate may be slower (see `Allowance`), at least 0.
        slack_ms: The time in ms by which it may be slower, whichever is larger, at least 0.
        slo_ms: A limit in ms that it must not exceed more often, allowance or not.

    Raises:
        ValueError: A setting lies outside its range, or there is no cut point.
    """

    name: ClassVar[str] = "latency"
    section: ClassVar[str] = "latency"

    def __init__(
        self,
        cut_points_ms: Sequence[float],
        alpha: float = 0.05,
        margin: float = 0.0,
        delta: float = 0.5,
        *,
        warm_up: int = 0,
        autocorrelation: float = AUTOCORRELATION,
        reserve: float = 0.25,
        slack: float = 0.0,
        slack_ms: float = 0.0,
        slo_ms: float | None = None,
    ) -> None:
        self.cut_points_ms = sorted({float(cut) for cut in cut_points_ms})
        self.slo_ms = slo_ms
        slo = [] if slo_ms is None else [float(slo_ms)]
        self._live_limits = np.array(self.cut_points_ms + slo)
        if not self._live_limits.size or not all(0 < cut < math.inf for cut in self._live_limits):
            msg = f"cut points must be finite numbers > 0, at least one, not {self._live_limits.tolist()}"
            raise ValueError(msg)
        if warm_up < 0:
            msg = f"warm_up must be ≥ 0, not {warm_up!r}"
            raise ValueError(msg)
        super().__init__(self._live_limits.size, alpha, margin, delta, autocorrelation=autocorrelation, reserve=reserve)
        self.allowance = Allowance(slack, slack_ms)
        self._candidate_limits = np.array([*self.allowance.on(np.array(self.cut_points_ms)), *slo])
        self.warm_up = int(warm_up)
        self._cold = self.warm_up
        self.candidate = LatencyHistogram()
        self.live = LatencyHistogram()

    @classmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Return the comparison, or `None` if it is off, or neither cut points nor a limit are known."""
        section = settings.comparisons.get(cls.section)
        if section is None or not (settings.cut_points_ms or section.get("slo_ms") is not None):
            return None
        delta = settings.no_worse_than
        return cls(
            settings.cut_points_ms, settings.alpha, delta=delta, autocorrelation=settings.autocorrelation, **section
        )

    def take(self, batch: Batch) -> None:
        """Take in the latencies of both deployments."""
        self.update(batch.candidate_latencies_ms, batch.live_latencies_ms)

    def update(self, candidate_ms: ArrayLike, live_ms: ArrayLike) -> Verdict:
        """Take in the latencies of one batch in ms (shapes (T,) and (S,), over the same time), return the verdict.

        Raises:
            ValueError: A latency is negative or not finite.
        """
        candidate, live = check_latencies("candidate", candidate_ms), check_latencies("live", live_ms)
        skipped = min(self._cold, candidate.size)
        self._cold -= skipped
        candidate = candidate[skipped:]
        if candidate.size or live.size:
            self.candidate.add(candidate)
            self.live.add(live)
            exceed = [*_exceed(candidate, self._candidate_limits), *_exceed(live, self._live_limits)]
            batch = [candidate.size, live.size, *exceed]
            self._count(np.array(batch, dtype=np.float64)[:, np.newaxis])
        return self.verdict

    @property
    def words(self) -> str:
        """The finding in one sentence, on the cut point that shows most."""
        start = f"after {plural(self.candidate_requests, 'candidate request')}"
        tail = f"(α = {self.alpha:g}): {self.verdict}"
        if not self.candidate_requests or not self.live_requests:
            return f"{start} there are no latencies to compare {tail}"
        worst = int(np.argmax(self.log_e_values))
        candidate = self._candidate_events[worst] / self.candidate_requests
        live = self._live_events[worst] / self.live_requests
        return (
            f"{start} {candidate:.1%} take longer than {self._candidate_limits[worst]:.4g} ms "
            f"against {live:.1%} of the live ones longer than {self._live_limits[worst]:.4g} ms {tail}"
        )

    def rows(self) -> list[Check]:
        """Return the median and the 95th percentile, once both deployments have some."""
        if not (self.candidate.requests and self.live.requests):
            return []
        candidate, live = (
            f"{arm.quantile(0.5):.0f} / {arm.quantile(0.95):.0f} ms" for arm in (self.candidate, self.live)
        )
        return [Check(check="latency p50 / p95", passed=None, candidate=candidate, live=live, limit="")]

    def plot(self, _history: History, /) -> Plot:
        """Return quantiles of latency so far, live against candidate, with bands."""
        data: dict[str, Any] = {"quantiles": list(_PLOT_QUANTILES)}
        figure, axes = open_figure("latency, ms")
        for arm, histogram, colour, marker, shift in (
            ("live", self.live, LIVE, "o", -0.08),
            ("candidate", self.candidate, CANDIDATE, "s", 0.08),
        ):
            middles = [histogram.quantile(p) for p in _PLOT_QUANTILES]
            bands = [histogram.band(p, self.alpha) for p in _PLOT_QUANTILES]
            data[arm] = {
                "quantile_ms": [_finite(middle) for middle in middles],
                "low_ms": [_finite(low) for low, _ in bands],
                "high_ms": [_finite(high) for _, high in bands],
            }
            # A band without an upper end is drawn up to twice the quantile.
            errors = [
                [middle - low for middle, (low, _) in zip(middles, bands, strict=True)],
                [min(high, 2 * middle) - middle for middle, (_, high) in zip(middles, bands, strict=True)],
            ]
            where = [index + shift for index in range(len(middles))]
            if histogram.requests:
                axes.errorbar(where, middles, yerr=errors, color=colour, fmt=marker, capsize=4, label=arm)
        axes.set_xticks(range(len(_PLOT_QUANTILES)), [f"p{100 * p:g}" for p in _PLOT_QUANTILES])
        axes.set_xlabel("")
        axes.set_ylim(bottom=0)
        return close_figure(self.name, "Latency", figure, axes, data)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "cut_points_ms": self.cut_points_ms,
            "warm_up": self.warm_up,
            "slack": self.allowance.share,
            "slack_ms": self.allowance.ms,
            "slo_ms": self.slo_ms,
            **super().settings(),
        }

    def _more_state(self) -> dict[str, Any]:
        return {
            **super()._more_state(),
            "cold": self._cold,
            "candidate_histogram": self.candidate.state(),
            "live_histogram": self.live.state(),
        }

    def _restore_more(self, state: dict[str, Any]) -> None:
        super()._restore_more(state)
        self._cold = int(state["cold"])
        self.candidate.restore(state["candidate_histogram"])
        self.live.restore(state["live_histogram"])


def _exceed(latencies_ms: Array, limits_ms: Array) -> Array:
    """How many latencies exceed each limit, shape (K,)."""
    at_most = np.searchsorted(np.sort(latencies_ms), limits_ms, side="right")
    return (latencies_ms.size - at_most).astype(np.float64)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
