"""Does the candidate fail more often than the live deployment?"""

import math
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.domain.evidence import Check
from saferollout.domain.words import plural
from saferollout.judge.batch import Batch
from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.counts import check_count_arrays, check_counts
from saferollout.judge.betting.event_rates import EventRates
from saferollout.judge.betting.intervals import RatioBounds
from saferollout.judge.betting.two_sided import number
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.history import History
from saferollout.judge.plots import CANDIDATE, LIVE, Plot, close_figure, draw_rates, open_figure
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

Array = NDArray[np.float64]


class ErrorRate(EventRates, Comparison):
    """An anytime-valid test on the ratio θ of two error rates: the candidate's over the live deployment's.

    Two e-processes run at once:

    - *harm* tests θ ≤ 1 + `margin` against the mixture of `HARM_RATIOS` (those above the null). It reaches 1/α with
      probability at most α if the candidate is no worse than the margin allows, however long one watches.
    - *health* tests θ ≥ 1 + `delta` against `HEALTH_RATIOS`. It ever reaches 1/α with probability at most α if the
      candidate really is that bad or worse.

    Assumptions: within a batch the two deployments face the same mix of requests, so keep batches short (the base rate
    may change from batch to batch, freely), and errors of one deployment are independent but for runs with a lag-1
    autocorrelation of at most `autocorrelation`.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        margin: How much worse counts as harmless: harm is a ratio above 1 + margin. At least 0.
        delta: How much worse is excluded by health: a ratio below 1 + delta is proven. Above `margin`.
        autocorrelation: Lag-1 autocorrelation of errors to allow for, in [0, 1). With 0 (and `reserve` 0) E is the
            plain likelihood ratio, averaged over θ₁.
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    name: ClassVar[str] = "error_rate"
    section: ClassVar[str] = ""

    def __init__(
        self,
        alpha: float = 0.05,
        margin: float = 0.0,
        delta: float = 0.5,
        *,
        autocorrelation: float = AUTOCORRELATION,
        reserve: float = 0.25,
    ) -> None:
        super().__init__(1, alpha, margin, delta, autocorrelation=autocorrelation, reserve=reserve)
        self._bounds = RatioBounds(self.autocorrelation)

    @classmethod
    def from_config(cls, settings: Settings) -> Self:
        """Return the comparison, which is always on."""
        return cls(settings.alpha, settings.margin, settings.no_worse_than, autocorrelation=settings.autocorrelation)

    @property
    def candidate_errors(self) -> float:
        """The candidate's errors so far."""
        return float(self._candidate_events[0])

    @property
    def live_errors(self) -> float:
        """The live deployment's errors so far."""
        return float(self._live_events[0])

    def take(self, batch: Batch) -> None:
        """Take in the counts of both deployments."""
        self.update(batch.candidate_requests, batch.candidate_errors, batch.live_requests, batch.live_errors)

    def update(
        self, candidate_requests: float, candidate_errors: float, live_requests: float, live_errors: float
    ) -> Verdict:
        """Take in the counts of one batch (both deployments over the same time) and return the verdict.

        Raises:
            ValueError: A count is negative or not finite, or errors exceed requests.
        """
        check_counts("candidate", candidate_requests, candidate_errors)
        check_counts("live", live_requests, live_errors)
        if candidate_requests or live_requests:
            batch = [[candidate_requests], [live_requests], [candidate_errors], [live_errors]]
            self._count(np.array(batch, dtype=np.float64))
        return self.verdict

    def update_many(
        self,
        candidate_requests: ArrayLike,
        candidate_errors: ArrayLike,
        live_requests: ArrayLike,
        live_errors: ArrayLike,
    ) -> Verdict:
        """Take in T batches in order, each argument of shape (T,); the same as T calls of `update`, but faster.

        Raises:
            ValueError: As `update`, or the shapes differ.
        """
        n_c, e_c = check_count_arrays("candidate", candidate_requests, candidate_errors)
        n_b, e_b = check_count_arrays("live", live_requests, live_errors)
        if n_c.shape != n_b.shape:
            msg = f"candidate and live must have as many batches, not {n_c.size} and {n_b.size}"
            raise ValueError(msg)
        if n_c.size:
            self._count(np.stack((n_c, n_b, e_c, e_b)))
        return self.verdict

    def _advance(self, batches: Array, exposure: Array) -> None:
        super()._advance(batches, exposure)
        self._bounds.add(batches)

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper limit on θ, each of which holds at all times with probability 1 − α."""
        return self._bounds.interval(self.alpha)

    @property
    def words(self) -> str:
        """The finding in one sentence: *after 1,912 candidate requests the error rate is 2.1–4.0× the live one …*."""
        low, high = self.interval
        # At the very moment of a verdict its own limit may be the tighter one.
        if self.verdict is Verdict.HARMFUL:
            low = max(low, 1.0 + self.margin)
        elif self.verdict is Verdict.HEALTHY:
            high = min(high, 1.0 + self.delta)
        start = f"after {plural(self.candidate_requests, 'candidate request')}"
        tail = f"(α = {self.alpha:g}): {self.verdict}"
        if not self.candidate_errors and not self.live_errors:
            return f"{start} and {plural(self.live_requests, 'live one')} neither has failed {tail}"
        if low <= 0 and math.isinf(high):
            return f"{start} the error rate cannot be compared with the live one yet {tail}"
        if math.isinf(high):
            return f"{start} the error rate is at least {low:.2g}× the live one {tail}"
        if low <= 0:
            return f"{start} the error rate is at most {high:.2g}× the live one {tail}"
        return f"{start} the error rate is {low:.2g}–{high:.2g}× the live one {tail}"

    def point(self) -> dict[str, Any]:
        """Return requests and errors so far."""
        return {
            "candidate": [self.candidate_requests, self.candidate_errors],
            "live": [self.live_requests, self.live_errors],
        }

    def rows(self) -> list[Check]:
        """Return both deployments' requests and errors."""
        n_c, n_b = self.candidate_requests, self.live_requests
        errors, live_errors = _with_share(self.candidate_errors, n_c), _with_share(self.live_errors, n_b)
        return [
            Check(check="requests", passed=None, candidate=number(n_c), live=number(n_b), limit=""),
            Check(check="errors", passed=None, candidate=errors, live=live_errors, limit=""),
        ]

    def plot(self, history: History, /) -> Plot:
        """Return both error rates over time with their confidence sequences."""
        points = history.points_of(self.name)
        data: dict[str, Any] = {"time_s": history.times_s}
        figure, axes = open_figure("error rate, %")
        for arm, colour, dash in (("live", LIVE, "--"), ("candidate", CANDIDATE, "-")):
            rates = draw_rates(
                axes,
                history.minutes,
                [point[arm] for point in points],
                alpha=self.alpha,
                autocorrelation=self.autocorrelation,
                colour=colour,
                label=arm,
                dash=dash,
            )
            data[arm] = rates._asdict()
        last = max(data["live"]["high"][-1], data["candidate"]["high"][-1])
        axes.set_ylim(0, min(100.0, 250 * last))
        return close_figure(self.name, "Error rates", figure, axes, data)

    def _more_state(self) -> dict[str, Any]:
        return {**super()._more_state(), "bounds": self._bounds.state()}

    def _restore_more(self, state: dict[str, Any]) -> None:
        super()._restore_more(state)
        self._bounds.restore(state["bounds"])


def _with_share(errors: float, requests: float) -> str:
    return f"{number(errors)} ({errors / requests if requests else 0:.2%})"
