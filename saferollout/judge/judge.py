"""The judge itself: several comparisons, one verdict."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from saferollout.domain.evidence import Check
from saferollout.domain.words import plural
from saferollout.judge.batch import Batch
from saferollout.judge.betting.weighing import Weighing
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.comparisons.error_rate import ErrorRate
from saferollout.judge.comparisons.error_rate_slo import ErrorRateSlo
from saferollout.judge.comparisons.latency import Latency
from saferollout.judge.comparisons.latency_shift import LatencyShift
from saferollout.judge.comparisons.output_drift import OutputDrift
from saferollout.judge.comparisons.prediction_drift import PredictionDrift
from saferollout.judge.comparisons.quality import Quality
from saferollout.judge.history import History
from saferollout.judge.plots import Plot, plot_e_values
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

COMPARISONS: tuple[type[Comparison], ...] = (
    ErrorRate,
    ErrorRateSlo,
    Latency,
    LatencyShift,
    PredictionDrift,
    OutputDrift,
    Quality,
)
"""All comparisons there are, in the order of the tables and plots. Another one is a file, and an entry here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one comparison found."""

    comparison: str
    """The comparison's name, as the config has it: `error_rate`."""
    e_value: float
    alarm: float
    """The e-value from which this comparison alone makes the verdict harmful."""
    e_value_healthy: float
    words: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What it would take to decide, if things stay as they look now."""

    verdict: Verdict
    requests: float
    """Candidate requests (or pairs) more."""
    minutes: float | None
    """Minutes more at this traffic; `None` as long as no batch has a duration."""

    def __str__(self) -> str:
        """Return the forecast in words."""
        if self.minutes is None:
            more = plural(self.requests, "more request")
        else:
            more = plural(max(math.ceil(self.minutes), 1), "more minute") + " at this traffic"
        return f"if it goes on like this, about {more} would show it {self.verdict}"


class Judge(Weighing):
    """Several anytime-valid comparisons with one α and one verdict.

    **Harm.** Each of the K comparisons that are on has an e-process; the judge's is their average. An average of
    e-processes is one, whatever the dependence between them, so by Ville's inequality the chance that it ever reaches
    1/α for a candidate that no comparison's null hypothesis rules out is at most α. One comparison alone gets there
    with an e-value of K/α (its share, as in Bonferroni's rule); several that are each suspicious get there together
    sooner. Harm is final.

    **Health** means: harm is not shown, and the error rate is proven to be *all right*, that is below (1 + δ) times the
    live one **or** below the negligible rate. Either proof alone falls short of what is needed: without errors on
    either side no ratio can be proven, and with a live deployment that fails a lot no small rate can. The null
    hypothesis is then that the candidate is worse than 1 + δ **and** not negligible. Under it both e-processes are
    e-processes, so their average is one, and "healthy" is wrong with probability at most α at any time, however often
    one looks. Comparisons named in `required` must prove health as well; that is an intersection of claims, each proven
    at α, and needs no sharing. Health of everything else is the absence of proven harm, no more.

    So α bounds two different errors separately: that a harmless candidate is ever called harmful, and that a candidate
    with a bad error rate is ever called healthy. No candidate is both, so no one suffers from both.

    Args:
        settings: What to compare and how strictly; only the error rates by default.

    Raises:
        TypeError: A comparison's section has a key that it does not know.
        ValueError: A setting lies outside its range, or `comparisons` or `required` names a comparison that there is
            not, or `required` one that is off.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        super().__init__(settings.alpha)
        _check_sections(settings)
        built = {kind.name: kind.from_config(settings) for kind in COMPARISONS}
        self.comparisons = {name: comparison for name, comparison in built.items() if comparison is not None}
        self._required = self._find_required()
        #: Only its proof of health is used, so it has no share in the harm.
        self.negligible = ErrorRateSlo(
            settings.alpha, settings.negligible_error_rate, autocorrelation=settings.autocorrelation
        )
        self.duration_s = 0.0
        self.history = History()

    def _find_required(self) -> list[str]:
        """Return the required comparisons, without those that are on but have nothing to compare with.

        Raises:
            ValueError: There is no comparison of this name, or it is off.
        """
        required, sections = self.settings.required, self.settings.comparisons
        on = {kind.name for kind in COMPARISONS if kind.section in sections}
        off = [name for name in required if name not in self.comparisons and name not in on]
        if off:
            msg = f"required comparisons are not configured: {', '.join(off)} (there are {', '.join(self.comparisons)})"
            raise ValueError(msg)
        return [name for name in required if name in self.comparisons]

    def update(self, batch: Batch) -> Verdict:
        """Take in one batch and return the verdict.

        Raises:
            ValueError: A count, latency, disagreement or loss is out of its range.
        """
        for comparison in self.comparisons.values():
            comparison.take(batch)
        self.negligible.take(batch)
        self.duration_s += batch.duration_s
        if self.log_e_value >= self._log_alarm:
            self._is_harmful = True
        self.history.add(self._point())
        return self.verdict

    @property
    def log_e_value(self) -> float:
        """The logarithm of the average of the comparisons' evidence for harm."""
        logs = [comparison.log_e_value for comparison in self.comparisons.values()]
        return float(np.logaddexp.reduce(logs)) - math.log(len(logs))

    @property
    def log_e_value_healthy(self) -> float:
        """The logarithm of the evidence that the error rate is all right, and of the required comparisons with it."""
        error_rate = self.comparisons[ErrorRate.name].log_e_value_healthy
        either = float(np.logaddexp(error_rate, self.negligible.log_e_value_healthy)) - math.log(2.0)
        return min([either, *(self.comparisons[name].log_e_value_healthy for name in self._required)])

    @property
    def findings(self) -> list[Finding]:
        """What each comparison found, the strongest evidence for harm first."""
        alarm = len(self.comparisons) / self.settings.alpha
        findings = [
            Finding(name, comparison.e_value, alarm, comparison.e_value_healthy, comparison.words)
            for name, comparison in self.comparisons.items()
        ]
        return sorted(findings, key=lambda finding: -finding.e_value)

    @property
    def forecast(self) -> Forecast | None:
        """What it would take to decide: the nearer of harm and health; `None` if decided, or if nothing points."""
        if self.verdict is not Verdict.UNDECIDED:
            return None
        waits = self._wait_for_harm()
        healthy = self._wait_for_health()
        if healthy is not None:
            waits.append((healthy, Verdict.HEALTHY, healthy * self.comparisons[ErrorRate.name].exposure))
        if not waits:
            return None
        wait, verdict, requests = min(waits)
        return Forecast(verdict, requests, wait * self.duration_s / 60.0 if self.duration_s else None)

    # Waits are in multiples of the watch so far: requests and pairs come at different rates.

    def _wait_for_harm(self) -> list[tuple[float, Verdict, float]]:
        """Return how long each comparison that points to harm takes to show it, and how many requests (or pairs)."""
        level = self._log_alarm + math.log(len(self.comparisons))
        waits = []
        for comparison in self.comparisons.values():
            exposure, _ = comparison.exposure_until(level)
            if exposure is not None and comparison.exposure > 0:
                waits.append((exposure / comparison.exposure, Verdict.HARMFUL, exposure))
        return waits

    def _wait_for_health(self) -> float | None:
        """Return how long the slowest proof takes that health needs; `None` if one of them is not in sight."""
        level = self._log_alarm + math.log(2.0)
        error_rate: Comparison = self.comparisons[ErrorRate.name]
        either = [test.exposure_until(None, level)[1] for test in (error_rate, self.negligible)]
        proofs = [(error_rate, min((exposure for exposure in either if exposure is not None), default=None))]
        for name in self._required:
            if name != ErrorRate.name:
                _, exposure = self.comparisons[name].exposure_until()
                proofs.append((self.comparisons[name], exposure))
        waits = [exposure / test.exposure for test, exposure in proofs if exposure is not None and test.exposure]
        return max(waits) if len(waits) == len(proofs) else None

    @property
    def words(self) -> str:
        """The finding in one sentence: the comparison that decides it, and for an undecided verdict the forecast."""
        verdict = self.verdict
        if verdict is Verdict.HARMFUL:
            return _with_verdict(self.findings[0].words, verdict)
        error_rate = self.comparisons[ErrorRate.name]
        if verdict is Verdict.HEALTHY:
            proof = max((error_rate, self.negligible), key=lambda test: test.log_e_value_healthy)
            return _with_verdict(proof.words, verdict)
        forecast = self.forecast
        return _with_verdict(error_rate.words, verdict) + (f"; {forecast}" if forecast else "")

    def rows(self) -> list[Check]:
        """Return what the comparisons have to add to the evidence's table."""
        return [row for comparison in self.comparisons.values() for row in comparison.rows()]

    def plots(self) -> list[Plot]:
        """Return all plots that there is data for, in the order in which to read them."""
        if not self.history.points:
            return []
        own = [comparison.plot(self.history) for comparison in self.comparisons.values()]
        return [plot_e_values(self.history, self.alpha), *(plot for plot in own if plot is not None)]

    def _point(self) -> dict[str, Any]:
        return {
            "time_s": self.duration_s,
            "log_e_value": self.log_e_value,
            "log_e_value_healthy": self.log_e_value_healthy,
            "log_e_values": {name: comparison.log_e_value for name, comparison in self.comparisons.items()},
            "comparisons": {name: comparison.point() for name, comparison in self.comparisons.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return settings and state in JSON's types; `from_dict` goes on from there."""
        return {
            "settings": asdict(self.settings),
            "comparisons": {name: comparison.to_dict() for name, comparison in self.comparisons.items()},
            "negligible": self.negligible.to_dict(),
            "duration_s": self.duration_s,
            "is_harmful": self._is_harmful,
            "history": self.history.to_dict(),
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """Return the judge whose `to_dict` gave `saved`, before or after a trip through JSON.

        Raises:
            KeyError: Something is missing in it.
            TypeError: A setting is not one of this judge.
            ValueError: It belongs to another judge.
        """
        judge = cls(Settings(**saved["settings"]))
        judge.comparisons = {
            name: type(comparison).from_dict(saved["comparisons"][name])
            for name, comparison in judge.comparisons.items()
        }
        judge.negligible = ErrorRateSlo.from_dict(saved["negligible"])
        judge.duration_s = saved["duration_s"]
        judge.history = History.from_dict(saved["history"])
        judge._is_harmful = bool(saved["is_harmful"])
        return judge


def _with_verdict(words: str, verdict: Verdict) -> str:
    """Put the judge's verdict in the place of the one comparison's."""
    return f"{words.rpartition(': ')[0]}: {verdict}"


def _check_sections(settings: Settings) -> None:
    """Raise unless each section belongs to a comparison.

    Raises:
        ValueError: One does not.
    """
    known = dict.fromkeys(kind.section for kind in COMPARISONS if kind.section)
    unknown = [name for name in settings.comparisons if name not in known]
    if unknown:
        msg = f"there is no comparison {', '.join(unknown)} (there are {', '.join(known)})"
        raise ValueError(msg)
