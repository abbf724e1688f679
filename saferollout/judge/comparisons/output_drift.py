"""Do the candidate's answers look different from the live ones, where no request was answered by both?"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from saferollout.domain.words import plural
from saferollout.judge.batch import Answers, Batch
from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.event_rates import EventRates
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

Array = NDArray[np.float64]


class OutputDrift(EventRates, Comparison):
    """An anytime-valid test that the distribution of answers differs: the fallback where there are no pairs.

    Answers fall into buckets fixed in advance (class labels, or numbers between borders). If the distributions differ,
    some bucket fills more often on the candidate; "falls into bucket k" is an event like an error, and
    `EventRates` compares how often each happens. It needs many more requests than pairs do, and takes a
    difference between those who were sent to either deployment for one of the models: traffic must be split at random.

    Args:
        labels: The answers to count; all others count together.
        borders: Or the borders between buckets of numbers. Exactly one of the two must hold something.
        alpha: The error probability of each direction, in (0, 1); shared by the buckets.
        margin: Harm is a bucket that fills more than 1 + margin times as often. At least 0.
        delta: Health is every bucket filling less than 1 + delta times as often. Above `margin`.
        autocorrelation: Lag-1 autocorrelation of answers to allow for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range, or there is neither a label nor a border, or both.
    """

    name: ClassVar[str] = "output_drift"
    section: ClassVar[str] = "output_drift"

    def __init__(
        self,
        *,
        labels: Sequence[Any] = (),
        borders: Sequence[float] = (),
        alpha: float = 0.05,
        margin: float = 0.25,
        delta: float = 0.5,
        autocorrelation: float = AUTOCORRELATION,
        reserve: float = 0.25,
    ) -> None:
        if bool(labels) == bool(borders):
            msg = "output drift needs at least one bucket: either labels or borders"
            raise ValueError(msg)
        self.labels = list(dict.fromkeys(labels))
        self.borders = sorted(float(border) for border in borders)
        # One more for the rest: above the last border, or a label that was never seen.
        super().__init__(
            len(self.labels or self.borders) + 1, alpha, margin, delta, autocorrelation=autocorrelation, reserve=reserve
        )

    @classmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Return the comparison, or `None` if it is off."""
        section = settings.comparisons.get(cls.section)
        if section is None:
            return None
        return cls(alpha=settings.alpha, autocorrelation=settings.autocorrelation, **section)

    def take(self, batch: Batch) -> None:
        """Take in the answers of both deployments."""
        self.update(batch.candidate_answers, batch.live_answers)

    def update(self, candidate_answers: Answers, live_answers: Answers) -> Verdict:
        """Take in the answers of one batch (over the same time, lengths may differ) and return the verdict."""
        if len(candidate_answers) or len(live_answers):
            counts = [*self._fill(candidate_answers), *self._fill(live_answers)]
            batch = [len(candidate_answers), len(live_answers), *counts]
            self._count(np.array(batch, dtype=np.float64)[:, np.newaxis])
        return self.verdict

    def _fill(self, answers: Answers) -> Array:
        """How many answers fall into each bucket, shape (K,)."""
        if self.borders:
            where = np.searchsorted(self.borders, np.asarray(answers, dtype=np.float64))  # NaN sorts last
        else:
            index = {label: k for k, label in enumerate(self.labels)}
            where = np.array([index.get(answer, len(self.labels)) for answer in answers], dtype=np.int64)
        return np.bincount(where, minlength=self._kinds).astype(np.float64)

    @property
    def words(self) -> str:
        """The finding in one sentence, on the bucket that shows most."""
        start = f"after {plural(self.candidate_requests, 'candidate request')}"
        tail = f"(α = {self.alpha:g}): {self.verdict}"
        if not self.candidate_requests or not self.live_requests:
            return f"{start} there are no answers to compare {tail}"
        worst = int(np.argmax(self.log_e_values))
        candidate = self._candidate_events[worst] / self.candidate_requests
        live = self._live_events[worst] / self.live_requests
        return (
            f"{start} {candidate:.1%} of the answers are {self._name(worst)} against {live:.1%} of the live ones {tail}"
        )

    def _name(self, bucket: int) -> str:
        if self.labels:
            return "another label" if bucket == len(self.labels) else repr(self.labels[bucket])
        if bucket == 0:
            return f"at most {self.borders[0]:.4g}"
        if bucket == len(self.borders):
            return f"above {self.borders[-1]:.4g}"
        return f"in ({self.borders[bucket - 1]:.4g}, {self.borders[bucket]:.4g}]"

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"labels": self.labels, "borders": self.borders, **super().settings()}
