"""The judge itself: several tests, one verdict."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.two_sided import TwoSided
from saferollout.judge.betting.weighing import Weighing
from saferollout.judge.comparisons.error_rate import ErrorRate
from saferollout.judge.comparisons.error_rate_slo import ErrorRateSlo
from saferollout.judge.comparisons.latency import Latency
from saferollout.judge.comparisons.latency_shift import LatencyShift
from saferollout.judge.comparisons.output_drift import Answers, OutputDrift
from saferollout.judge.comparisons.prediction_drift import PredictionDrift
from saferollout.judge.comparisons.quality import Quality
from saferollout.judge.history import History
from saferollout.judge.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Settings:
    """What to judge, and how strictly. Everything but the comparison of error rates is off until it gets a value."""

    alpha: float = 0.05
    """Chance that a harmless candidate is ever called harmful; that a bad one is ever called healthy, likewise."""
    margin: float = 0.0
    """Harm is an error rate above (1 + margin) times the live one."""
    delta: float = 0.5
    """Health is an error rate below (1 + delta) times the live one, …"""
    negligible_error_rate: float = 0.01
    """… or below this rate."""
    error_rate_slo: float | None = None
    """Harm is also an error rate above this, whatever the live one is."""
    latency_cut_points_ms: tuple[float, ...] = ()
    """Harm is also exceeding these latencies more often than live requests do, or being slower throughout, …"""
    latency_margin: float = 0.0
    """… more than (1 + this) times as often."""
    latency_slack: float = 0.0
    """Harmless is a candidate that is slower by this share of a live latency, …"""
    latency_slack_ms: float = 0.0
    """… or by this time, whichever is larger."""
    latency_slo_ms: float | None = None
    """A cut point without that allowance."""
    warm_up: int = 0
    """How many of the candidate's first requests do not count for latency."""
    drift_tolerance: float | None = None
    """Harm is also a mean disagreement with the live answers above this."""
    output_buckets: tuple[Any, ...] = ()
    """Harm is also that answers fall into one of these labels (or between these borders) more often, …"""
    output_is_numeric: bool = False
    """… borders if true."""
    quality_margin: float | None = None
    """Harm is also a mean loss that exceeds the live one by more than this."""
    required: tuple[str, ...] = ()
    """Tests that must prove health, too, before the verdict is healthy."""
    autocorrelation: float = AUTOCORRELATION
    """Lag-1 autocorrelation of what one deployment does that the tests allow for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one source saw over one stretch of time, of both deployments. Parts that it does not have stay empty.

    Never add the counts of two sources: recorded requests may fail more often than users' do, and where users reach
    the deployments in another proportion than probes do, the sum would make a difference of the sources one of the
    deployments. As batches of their own they cannot, since the live rate may change from batch to batch.
    """

    candidate_requests: float = 0
    candidate_errors: float = 0
    live_requests: float = 0
    live_errors: float = 0
    candidate_latencies_ms: ArrayLike = ()
    live_latencies_ms: ArrayLike = ()
    disagreements: ArrayLike = ()
    """One number in [0, 1] for each pair, in order."""
    candidate_losses: ArrayLike = ()
    live_losses: ArrayLike = ()
    """Losses in [0, 1] of the same requests, in order."""
    candidate_answers: Answers = ()
    live_answers: Answers = ()
    duration_s: float = 0.0
    """How long the stretch was, in seconds: for the forecast only."""
    alone_requests: float = 0
    """The candidate's at a time when the live deployment was not seen: only for limits on its own error rate."""
    alone_errors: float = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one test found."""

    test: str
    e_value: float
    alarm: float
    """The e-value from which this test alone makes the verdict harmful."""
    e_value_healthy: float
    words: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What it would take to decide, if things stay as they look now."""

    verdict: Verdict
    requests: float
    """Candidate requests (or pairs) more."""
    minutes: float | None
    """Minutes more at this traffic; ``None`` as long as no batch told its duration."""

    def __str__(self) -> str:
        """Return the forecast in words."""
        if self.minutes is None:
            return f"if it goes on like this, about {self.requests:,.0f} more requests would show it {self.verdict}"
        minutes = max(math.ceil(self.minutes), 1)
        unit = "minute" if minutes == 1 else "minutes"
        return f"if it goes on like this, about {minutes:,} more {unit} at this traffic would show it {self.verdict}"


class Judge(Weighing):
    """Several anytime-valid tests with one α and one verdict.

    **Harm.** Each of the K configured tests has an e-process; the judge's is their average. An average of e-processes
    is one, whatever the dependence between them, so by Ville's inequality the chance that it ever reaches 1/α
    for a candidate that no test's null hypothesis rules out is at most α. One test alone gets there with an e-value of
    K/α (its share, as in Bonferroni's rule); several that are each suspicious get there together sooner. Harm is
    final.

    **Health** means: harm is not shown, and the error rate is proven to be *all right*, that is below (1 + δ) times the
    live one **or** below the negligible rate. Either proof alone falls short of what is needed: without errors on
    either side no ratio can be proven, and with a live deployment that fails a lot no small rate can. The null
    hypothesis is then that the candidate is worse than 1 + δ **and** not negligible. Under it both e-processes are
    e-processes, so their average is one, and "healthy" is wrong with probability at most α at any time, however often
    one looks. Tests named in `required` must prove health as well; that is an intersection of claims, each proven
    at α, and needs no sharing. Health of everything else is the absence of proven harm, no more.

    So α bounds two different errors separately: that a harmless candidate is ever called harmful, and that a candidate
    with a bad error rate is ever called healthy. No candidate is both, so no one suffers from both.

    Raises:
        ValueError: A setting lies outside its range, or `required` names a test that is not configured.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        super().__init__(settings.alpha)
        alpha, autocorrelation = self.alpha, settings.autocorrelation
        self.tests: dict[str, TwoSided] = {
            "error_rate": ErrorRate(alpha, settings.margin, settings.delta, autocorrelation=autocorrelation)
        }
        if settings.error_rate_slo is not None:
            self.tests["error_rate_slo"] = ErrorRateSlo(alpha, settings.error_rate_slo, autocorrelation=autocorrelation)
        if settings.latency_cut_points_ms or settings.latency_slo_ms is not None:
            margin = settings.latency_margin
            delta = max(settings.delta, 2 * margin)
            self.tests["latency"] = Latency(
                settings.latency_cut_points_ms,
                alpha,
                margin,
                delta,
                warm_up=settings.warm_up,
                autocorrelation=autocorrelation,
                slack=settings.latency_slack,
                slack_ms=settings.latency_slack_ms,
                slo_ms=settings.latency_slo_ms,
            )
            # Ranks have a scale that ends at one: beyond it no margin says anything.
            self.tests["latency_shift"] = LatencyShift(
                alpha,
                min(margin, 0.9),
                min(delta, 0.95),
                warm_up=settings.warm_up,
                slack=settings.latency_slack,
                slack_ms=settings.latency_slack_ms,
            )
        if settings.drift_tolerance is not None:
            self.tests["prediction_drift"] = PredictionDrift(
                alpha, settings.drift_tolerance, autocorrelation=autocorrelation
            )
        if settings.output_buckets:
            self.tests["output_drift"] = OutputDrift(
                settings.output_buckets,
                numeric=settings.output_is_numeric,
                alpha=alpha,
                autocorrelation=autocorrelation,
            )
        if settings.quality_margin is not None:
            self.tests["quality"] = Quality(
                alpha, settings.quality_margin, settings.quality_margin + 0.02, autocorrelation=autocorrelation
            )
        unknown = [name for name in settings.required if name not in self.tests]
        if unknown:
            msg = f"required tests are not configured: {', '.join(unknown)} (there are {', '.join(self.tests)})"
            raise ValueError(msg)
        #: Only its proof of health is used, so it has no share in the harm.
        self.negligible = ErrorRateSlo(alpha, settings.negligible_error_rate, autocorrelation=autocorrelation)
        self.duration_s = 0.0
        self.history = History()

    def update(self, batch: Batch) -> Verdict:
        """Take in one batch and return the verdict.

        Raises:
            ValueError: A count, latency, disagreement or loss is out of its range.
        """
        n_c, e_c = batch.candidate_requests, batch.candidate_errors
        all_requests, all_errors = n_c + batch.alone_requests, e_c + batch.alone_errors
        for test in self.tests.values():
            match test:
                case ErrorRate():
                    test.update(n_c, e_c, batch.live_requests, batch.live_errors)
                case ErrorRateSlo():
                    test.update(all_requests, all_errors)
                case Latency() | LatencyShift():
                    test.update(batch.candidate_latencies_ms, batch.live_latencies_ms)
                case PredictionDrift():
                    test.update(batch.disagreements)
                case OutputDrift():
                    test.update(batch.candidate_answers, batch.live_answers)
                case Quality():
                    test.update(batch.candidate_losses, batch.live_losses)
        self.negligible.update(all_requests, all_errors)
        self.duration_s += batch.duration_s
        if self.log_e_value >= self._log_alarm:
            self._is_harmful = True
        self.history.add(self._point())
        return self.verdict

    @property
    def log_e_value(self) -> float:
        """The logarithm of the average of the tests' evidence for harm."""
        logs = [test.log_e_value for test in self.tests.values()]
        return float(np.logaddexp.reduce(logs)) - math.log(len(logs))

    @property
    def log_e_value_healthy(self) -> float:
        """The logarithm of the evidence that the error rate is all right, and the required tests with it."""
        ratio = self.tests["error_rate"].log_e_value_healthy
        either = float(np.logaddexp(ratio, self.negligible.log_e_value_healthy)) - math.log(2.0)
        return min([either, *(self.tests[name].log_e_value_healthy for name in self.settings.required)])

    @property
    def findings(self) -> list[Finding]:
        """What each test found, the strongest evidence for harm first."""
        alarm = len(self.tests) / self.settings.alpha
        found = [
            Finding(name, test.e_value, alarm, test.e_value_healthy, test.words) for name, test in self.tests.items()
        ]
        return sorted(found, key=lambda finding: -finding.e_value)

    @property
    def forecast(self) -> Forecast | None:
        """What it would take to decide: the nearer of harm and health; ``None`` if decided, or if nothing points."""
        if self.verdict is not Verdict.UNDECIDED:
            return None
        level = self._log_alarm + math.log(len(self.tests))
        level_health = self._log_alarm + math.log(2.0)
        waits: list[tuple[float, Verdict, float]] = []
        health: list[float | None] = []
        for name, test in self.tests.items():
            to_harm, to_health = test.exposure_until(level, level_health if name == "error_rate" else self._log_alarm)
            if to_harm is not None and test.exposure > 0:
                waits.append((to_harm / test.exposure, Verdict.HARMFUL, to_harm))
            if name in self.settings.required and name != "error_rate":
                health.append(None if to_health is None or not test.exposure else to_health / test.exposure)
            if name == "error_rate":
                _, negligible = self.negligible.exposure_until(None, level_health)
                either = [wait for wait in (to_health, negligible) if wait is not None]
                health.append(min(either) / test.exposure if either and test.exposure else None)
        known = [share for share in health if share is not None]
        if known and len(known) == len(health):
            waits.append((max(known), Verdict.HEALTHY, max(known) * self.tests["error_rate"].exposure))
        if not waits:
            return None
        # Waits are in multiples of the watch so far: requests and pairs come at different rates.
        share, verdict, requests = min(waits)
        return Forecast(verdict, requests, share * self.duration_s / 60.0 if self.duration_s else None)

    @property
    def words(self) -> str:
        """The finding in one sentence: the test that decides it, and for an undecided verdict the forecast."""
        verdict = self.verdict
        if verdict is Verdict.HARMFUL:
            return _with_verdict(self.findings[0].words, verdict)
        ratio = self.tests["error_rate"]
        if verdict is Verdict.HEALTHY:
            shown = max((ratio, self.negligible), key=lambda test: test.log_e_value_healthy)
            return _with_verdict(shown.words, verdict)
        forecast = self.forecast
        return _with_verdict(ratio.words, verdict) + (f"; {forecast}" if forecast else "")

    def _point(self) -> dict[str, Any]:
        ratio = self.tests["error_rate"]
        point: dict[str, Any] = {
            "time_s": self.duration_s,
            "log_e_value": self.log_e_value,
            "log_e_value_healthy": self.log_e_value_healthy,
            "log_e_values": {name: test.log_e_value for name, test in self.tests.items()},
        }
        if isinstance(ratio, ErrorRate):
            point["candidate"] = [ratio.candidate_requests, ratio.candidate_errors]
            point["live"] = [ratio.live_requests, ratio.live_errors]
        drift = self.tests.get("prediction_drift")
        if isinstance(drift, PredictionDrift):
            point["pairs"] = [drift.count, drift.total]
        return point

    def to_dict(self) -> dict[str, Any]:
        """Return settings and state in JSON's types; `from_dict` goes on from there."""
        return {
            "settings": asdict(self.settings),
            "tests": {name: test.to_dict() for name, test in self.tests.items()},
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
            ValueError: It belongs to another judge.
        """
        settings = dict(saved["settings"])
        for name in ("latency_cut_points_ms", "output_buckets", "required"):
            settings[name] = tuple(settings[name])  # JSON has no tuples
        judge = cls(Settings(**settings))
        judge.tests = {name: type(test).from_dict(saved["tests"][name]) for name, test in judge.tests.items()}
        judge.negligible = ErrorRateSlo.from_dict(saved["negligible"])
        judge.duration_s = saved["duration_s"]
        judge.history = History.from_dict(saved["history"])
        judge._is_harmful = bool(saved["is_harmful"])
        return judge


def _with_verdict(words: str, verdict: Verdict) -> str:
    """Put the judge's verdict in the place of the one test's."""
    return f"{words.rpartition(': ')[0]}: {verdict}"
