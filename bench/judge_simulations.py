"""The judge and the rules of others at work on simulated traffic: when does each raise an alarm?"""

import math
from collections.abc import Callable, Iterator

import judge_rivals as rivals
import judge_traffic as traffic
import numpy as np
from numpy.typing import NDArray

from saferollout.judge import LatencyShift, PredictionDrift
from saferollout.judge.betting.event_rates import EventRates
from saferollout.judge.betting.intervals import BELOW, BELOW_WEIGHTS, log_returns

Array = NDArray[np.float64]

ALPHA = 0.05
CHUNK = 250
PROBES_PER_S = 10.0
NEGLIGIBLE = 0.01
DRIFT_TOLERANCE = 0.02
CUT_QUANTILES = (0.5, 0.9, 0.95, 0.99)


class TracedRates(EventRates):
    """The e-processes of `ErrorRate` and `Latency`, which remember at which exposure they crossed 1/α."""

    alarm_at = math.inf
    healthy_at = math.inf

    def _play(self, harm_returns: Array, health_returns: Array, exposure: Array) -> None:
        path = self._harm.advance(harm_returns, exposure)
        self.alarm_at = min(self.alarm_at, _first(exposure, path >= self._log_alarm))
        path = self._health.advance(health_returns, exposure)
        self.healthy_at = min(self.healthy_at, _first(exposure, path >= self._log_alarm + math.log(2.0)))

    @property
    def words(self) -> str:
        """Not needed here."""
        return ""

    def count(self, batches: Array) -> None:
        """Take in batches, shape (2 + 2K, T)."""
        self._count(batches)


class TracedDrift(PredictionDrift):
    """`PredictionDrift` that remembers at which exposure it crossed 1/α."""

    alarm_at = math.inf

    def _play(self, harm_returns: Array, health_returns: Array, exposure: Array) -> None:
        path = self._harm.advance(harm_returns, exposure)
        self.alarm_at = min(self.alarm_at, _first(exposure, path >= self._log_alarm))
        self._health.advance(health_returns, exposure)


class TracedShift(LatencyShift):
    """`LatencyShift` that remembers at which exposure it crossed 1/α."""

    alarm_at = math.inf

    def _play(self, harm_returns: Array, health_returns: Array, exposure: Array) -> None:
        path = self._harm.advance(harm_returns, exposure)
        self.alarm_at = min(self.alarm_at, _first(exposure, path >= self._log_alarm))
        self._health.advance(health_returns, exposure)


def _first(exposure: Array, crossed: NDArray[np.bool_]) -> float:
    hits = np.flatnonzero(crossed)
    return float(exposure[hits[0]]) if hits.size else math.inf


def _time(requests: Array, exposure: float, batch_s: float) -> float:
    """Return the end of the batch in which the request after `exposure` came."""
    if math.isinf(exposure):
        return math.inf
    batch = int(np.searchsorted(np.cumsum(requests), exposure, side="right"))
    return min(batch + 1, requests.size) * batch_s


def judge_errors(*sources: traffic.Counts) -> tuple[Array, Array]:
    """Return when the judge says harmful and healthy, in seconds, by run; each source's seconds are batches."""
    n_c, e_c, n_b, e_b = (
        np.stack([getattr(source, name) for source in sources], axis=2).reshape(len(sources[0].live_errors), -1)
        for name in ("candidate_requests", "candidate_errors", "live_requests", "live_errors")
    )
    batch_s = 1.0 / len(sources)
    harmful, healthy = np.full(len(n_c), np.inf), np.full(len(n_c), np.inf)
    below = negligible(n_c, e_c) * batch_s
    for run in range(len(n_c)):
        test = TracedRates(1, ALPHA, 0.0, 0.5)
        test.count(np.stack((n_c[run], n_b[run], e_c[run], e_b[run])))
        harmful[run] = _time(n_c[run], test.alarm_at, batch_s)
        healthy[run] = min(_time(n_c[run], test.healthy_at, batch_s), below[run])
    # Harm beats health only from then on: what counts is which came first.
    return harmful, np.where(healthy < harmful, healthy, np.inf)


def negligible(n_c: Array, e_c: Array) -> Array:
    """Return after how many batches the candidate's error rate is proven negligible, by run."""
    times = np.full(len(n_c), np.inf)
    for run in range(len(n_c)):
        logs = log_returns(NEGLIGIBLE, BELOW, np.cumsum(n_c[run]), np.cumsum(e_c[run]), 0.3)
        log_e = np.logaddexp.reduce(logs + np.log(BELOW_WEIGHTS), axis=1)
        times[run] = _first(np.arange(1.0, n_c.shape[1] + 1), log_e >= math.log(2 / ALPHA))
    return times


def error_scenario(
    rng: np.random.Generator, runs: int, rps: float, live: float, candidate: float, kind: str
) -> Iterator[tuple[str, Array, Array]]:
    """Yield the rule, its alarms and (for the judge) when it said healthy, for chunks of runs."""
    for start in range(0, runs, CHUNK):
        size = min(CHUNK, runs - start)
        users = traffic.errors(rng, size, (rps * traffic.SHARE, rps * (1 - traffic.SHARE)), live, candidate, kind)
        yield "judge", *judge_errors(users)
        probes = traffic.errors(rng, size, (PROBES_PER_S, PROBES_PER_S), live, candidate, kind)
        yield "judge with probes", *judge_errors(users, probes)
        n_c, e_c, n_b, e_b = (
            rivals.windows(x, 60)
            for x in (users.candidate_requests, users.candidate_errors, users.live_requests, users.live_errors)
        )
        none = np.empty(0)
        yield "Flagger", rivals.flagger(n_c, e_c), none
        yield "Argo", rivals.argo(n_c, e_c), none
        yield "SageMaker alarm", rivals.alarm(n_c, e_c), none
        with np.errstate(invalid="ignore"):
            yield "Kayenta", rivals.kayenta(e_c / n_c, e_b / n_b), none
        yield "peeked z-test", rivals.peeked_ratio(n_c, e_c, n_b, e_b), none


def latency_scenario(
    rng: np.random.Generator, runs: int, rps: float, factor: float, tail: float, kind: str
) -> Iterator[tuple[str, Array, Array]]:
    """Yield the rule and its alarms for chunks of runs."""
    none = np.empty(0)
    chunk = CHUNK if rps < 100 else 25
    for start in range(0, runs, chunk):
        size = min(chunk, runs - start)
        seen = traffic.latencies(rng, size, rps, factor, tail, kind)
        before = np.float32(np.log(100.0)) + np.float32(0.5) * rng.standard_normal((size, 2000), dtype=np.float32)
        cuts = np.quantile(before, CUT_QUANTILES, axis=1)
        slower = [
            np.stack([(arm > cut[:, np.newaxis, np.newaxis]).sum(axis=2) for cut in cuts], axis=1).astype(np.float64)
            for arm in (seen.candidate, seen.live)
        ]
        batches = seen.candidate.shape[1]
        n_c = np.full(batches, float(seen.candidate.shape[2]))
        n_b = np.full(batches, float(seen.live.shape[2]))
        harmful = np.full(size, np.inf)
        for run in range(size):
            # The judge averages both tests' e-values; here either must reach 2/α alone, which is never sooner.
            tails = TracedRates(len(cuts), ALPHA / 2, 0.0, 0.5)
            tails.count(np.concatenate((n_c[np.newaxis], n_b[np.newaxis], slower[0][run], slower[1][run])))
            shift = TracedShift(ALPHA / 2)
            shift.update(seen.candidate[run].ravel(), seen.live[run].ravel())
            whole = min(shift.alarm_at + shift.block + shift.gap, float(n_c.sum() + 1))
            harmful[run] = min(
                _time(n_c, tails.alarm_at, seen.batch_s),
                math.inf if math.isinf(shift.alarm_at) else _time(n_c, whole - 1, seen.batch_s),
            )
        yield "judge", harmful, none
        if 60 % seen.batch_s:
            continue  # hardly a candidate request a minute: nothing for rules that look at minutes
        candidate, live = (np.exp(arm).reshape(size, 60, -1) for arm in (seen.candidate, seen.live))
        p99 = np.quantile(candidate, 0.99, axis=2)
        yield "Flagger", rivals.nth_failure(p99 > 500, 5, 60), none
        yield "Kayenta", rivals.kayenta(candidate.mean(axis=2), live.mean(axis=2)), none
        sums = [
            x
            for arm in (candidate, live)
            for x in (
                np.full((size, 60), float(arm.shape[2])),
                arm.sum(axis=2, dtype=np.float64),
                (arm**2).sum(axis=2, dtype=np.float64),
            )
        ]
        yield "peeked z-test", rivals.peeked_mean(*sums), none


def drift_scenario(
    rng: np.random.Generator, runs: int, rps: float, rate: float, kind: str
) -> Iterator[tuple[str, Array, Array]]:
    """Yield the rule and its alarms for chunks of runs; rivals have the tolerance as their threshold.

    Each of the candidate's requests is answered by both deployments.
    """
    none = np.empty(0)
    pairs_per_s = rps * traffic.SHARE
    per_minute = max(1, round(60 * pairs_per_s))
    minutes = round(traffic.WATCH_S * pairs_per_s / per_minute)
    minute_s = traffic.WATCH_S / minutes
    for start in range(0, runs, CHUNK):
        size = min(CHUNK, runs - start)
        differ = traffic.disagreements(rng, size, minutes * per_minute, rate, kind)
        harmful = np.full(size, np.inf)
        for run in range(size):
            test = TracedDrift(ALPHA, DRIFT_TOLERANCE)
            test.update(differ[run])
            harmful[run] = min((test.alarm_at + test.block) / pairs_per_s, math.inf)
        yield "judge", harmful, none
        if minute_s != 60:
            continue  # hardly a pair a minute: nothing for rules that look at minutes
        k = differ.reshape(size, minutes, per_minute).sum(axis=2)
        n = np.full_like(k, per_minute)
        yield "Flagger", rivals.flagger(n, k, DRIFT_TOLERANCE), none
        yield "Argo", rivals.argo(n, k, DRIFT_TOLERANCE), none
        yield "SageMaker alarm", rivals.alarm(n, k, DRIFT_TOLERANCE), none
        yield "peeked z-test", rivals.peeked_rate(n, k, DRIFT_TOLERANCE), none


SIMULATIONS: dict[str, Callable[..., Iterator[tuple[str, Array, Array]]]] = {
    "errors": error_scenario,
    "latency": latency_scenario,
    "drift": drift_scenario,
}
