"""How evidence becomes a verdict, for one test and for the judge over all."""

import math
from abc import ABC, abstractmethod

from saferollout.judge.betting.counts import check_fraction
from saferollout.judge.betting.wealth import as_e_value
from saferollout.judge.verdict import Verdict


class Weighing(ABC):
    """Evidence in two directions, each weighed at α.

    *Harm* is final: once its e-value has reached 1/α the verdict stays `harmful`, which Ville's inequality permits
    (the chance that this ever happens to a harmless candidate is at most α). *Health* is not final: it follows the
    current e-value, so that a candidate which was healthy and turns bad loses the verdict at once, and gets
    `harmful` when that is shown; harm beats health. Either direction has an error probability of α of its own:
    the two wrong answers exclude each other, as a candidate is not both harmless and too bad.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = check_fraction("alpha", alpha)
        self._log_alarm = -math.log(self.alpha)
        self._is_harmful = False

    @property
    @abstractmethod
    def log_e_value(self) -> float:
        """The logarithm of `e_value`."""

    @property
    @abstractmethod
    def log_e_value_healthy(self) -> float:
        """The logarithm of `e_value_healthy`."""

    @property
    def e_value(self) -> float:
        """The evidence for harm now: the verdict becomes `harmful` at 1/α."""
        return as_e_value(self.log_e_value)

    @property
    def e_value_healthy(self) -> float:
        """The evidence for health now: the verdict is `healthy` from 1/α on."""
        return as_e_value(self.log_e_value_healthy)

    @property
    def verdict(self) -> Verdict:
        """What the data so far prove."""
        if self._is_harmful:
            return Verdict.HARMFUL
        if self.log_e_value_healthy >= self._log_alarm:
            return Verdict.HEALTHY
        return Verdict.UNDECIDED
