"""Simulated traffic for the judge's bench: one hour with the candidate at 10 %, many runs at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

WATCH_S = 3600
SHARE = 0.1
AUTOCORRELATION = 0.3
TRAFFIC = ("independent", "bursty", "diurnal")


@dataclass(frozen=True)
class Counts:
    """Requests and errors of both deployments, each of shape (runs, WATCH_S)."""

    candidate_requests: Array
    candidate_errors: Array
    live_requests: Array
    live_errors: Array


@dataclass(frozen=True)
class Latencies:
    """Log-latencies of both deployments, shapes (runs, batches, requests of a batch)."""

    candidate: NDArray[np.float32]
    live: NDArray[np.float32]
    batch_s: float


def chained(rng: np.random.Generator, length: int, rate: float, autocorrelation: float) -> NDArray[np.int64]:
    """Return where a two-state Markov chain of this length is in its rare state, ascending.

    Its stationary probability is `rate` and its lag-1 autocorrelation as given: stays between the states are
    geometric, with mean 1/(rate·(1−r)) outside and 1/((1−rate)·(1−r)) inside.
    """
    cycles = int(length * rate * 1.3) + 100
    outside = rng.geometric(rate * (1 - autocorrelation), cycles)
    inside = rng.geometric((1 - rate) * (1 - autocorrelation), cycles)
    starts = np.cumsum(outside + inside) - inside
    within = np.arange(inside.sum()) - np.repeat(np.cumsum(inside) - inside, inside)
    positions = np.repeat(starts, inside) + within
    if positions[-1] < length:
        msg = "too few cycles drawn for the chain"
        raise RuntimeError(msg)
    return np.asarray(positions[positions < length])


def errors(
    rng: np.random.Generator,
    runs: int,
    requests_per_s: tuple[float, float],
    live_rate: float,
    candidate_rate: float,
    kind: str,
) -> Counts:
    """Simulate counts a second, of as many requests a second to the candidate and to the live deployment.

    *independent*: Poisson arrivals, each request fails by itself. *bursty*: the arrival rate is log-normal with lag-1
    autocorrelation 0.3 from second to second, and either deployment's successive requests fail with lag-1
    autocorrelation 0.3. *diurnal*: within the hour the arrival rate swings by 80 % and both error rates by 50 %.
    """
    shape = (runs, WATCH_S)
    load = np.ones(shape)
    swing = np.ones(shape)
    if kind == "bursty":
        noise = lfilter([1.0], [1.0, -AUTOCORRELATION], rng.standard_normal((runs, WATCH_S + 50)))[:, 50:]
        spread = 0.5 * np.sqrt(1 - AUTOCORRELATION**2)
        load = load * np.exp(noise * spread - 0.125)
    elif kind == "diurnal":
        phase = 2 * np.pi * (np.arange(WATCH_S) / WATCH_S + rng.random((runs, 1)))
        load = load * (1 + 0.8 * np.sin(phase))
        swing = 1 + 0.5 * np.sin(phase + 2 * np.pi * rng.random((runs, 1)))
    arms = []
    for per_s, rate in zip(requests_per_s, (candidate_rate, live_rate), strict=True):
        requests = rng.poisson(load * per_s)
        if kind == "bursty":
            borders = np.concatenate(([0], np.cumsum(requests)))
            positions = chained(rng, int(borders[-1]), rate, AUTOCORRELATION)
            failed = np.diff(np.searchsorted(positions, borders)).reshape(shape)
        else:
            failed = rng.binomial(requests, np.minimum(rate * swing, 1.0))
        arms += [requests.astype(np.float64), failed.astype(np.float64)]
    return Counts(*arms)


def latencies(
    rng: np.random.Generator, runs: int, requests_per_s: float, factor: float, tail: float, kind: str
) -> Latencies:
    """Simulate log-latencies around 100 ms with a spread of 0.5 (p50 100 ms, p99 320 ms).

    *bursty*: successive requests of a deployment have lag-1 autocorrelation 0.3. *diurnal*: both deployments' level
    swings by 10 % within the hour.

    Args:
        rng: The source of randomness.
        runs: How many hours.
        requests_per_s: To both deployments together.
        factor: By which the candidate is slower on all requests.
        tail: The share of the candidate's requests that take five times as long.
        kind: One of `TRAFFIC`.
    """
    batch_s = max(10.0, 1 / (requests_per_s * SHARE))
    batches = int(WATCH_S / batch_s)
    per_batch = round(requests_per_s * SHARE * batch_s)
    arms = []
    for requests in (per_batch, per_batch * round((1 - SHARE) / SHARE)):
        z = rng.standard_normal((runs, batches * requests), dtype=np.float32)
        if kind == "bursty":
            gain = np.float32(np.sqrt(1 - AUTOCORRELATION**2))
            z[:, 1:] *= gain
            z = lfilter(np.ones(1, np.float32), np.array([1, -AUTOCORRELATION], np.float32), z, axis=1)
        x = np.float32(np.log(100.0)) + np.float32(0.5) * z.reshape(runs, batches, requests)
        if kind == "diurnal":
            x += np.float32(0.1) * np.sin(2 * np.pi * np.arange(batches) / batches, dtype=np.float32)[:, np.newaxis]
        arms.append(x)
    candidate, live = arms
    candidate += np.float32(np.log(factor))
    if tail:
        candidate[rng.random(candidate.shape, dtype=np.float32) < tail] += np.float32(np.log(5.0))
    return Latencies(candidate, live, batch_s)


def disagreements(rng: np.random.Generator, runs: int, pairs: int, rate: float, kind: str) -> Array:
    """Simulate whether pairs of answers differ, shape (runs, pairs); *bursty* with lag-1 autocorrelation 0.3.

    *diurnal* swings between half of the rate and the rate within the hour.
    """
    if kind == "bursty":
        differ = np.zeros(runs * pairs)
        differ[chained(rng, runs * pairs, rate, AUTOCORRELATION)] = 1.0
        return differ.reshape(runs, pairs)
    swing = np.ones(pairs)
    if kind == "diurnal":
        swing = 0.75 + 0.25 * np.sin(2 * np.pi * np.arange(pairs) / pairs)
    return (rng.random((runs, pairs)) < rate * swing).astype(np.float64)
