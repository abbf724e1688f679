"""What the judge found, in a sentence for whoever answers for the product and knows no statistics.

What it claims at a level of confidence is the limit on the error rate: the judge's confidence sequence
(`saferollout.judge.rate_interval`), which holds at all times at once, so that it may be quoted whenever the judge
stopped. Latencies are described as they were measured.
"""

import math

from saferollout.domain.words import percent, percent_at_most, plural
from saferollout.judge import ErrorRate, Judge, Latency, LatencyShift, Verdict

SIGNS = math.sqrt(10)
"""From this e-value on evidence is *substantial* on the scale of Jeffreys (Theory of Probability, 1961, appendix B),
which Vovk & Wang (Annals of Statistics 49, 2021) take for e-values; below, it is worth no more than a bare mention."""
ALIKE = 0.1
ALIKE_MS = 5.0
"""Latencies that differ by less than this share or time are called alike."""
MANY = 20
"""So many requests say how fast a deployment is."""


def sentence_of(judge: Judge, verdict: Verdict, distinct: int | None = None) -> str:
    """Return what was found: *no sign of harm in 598 requests; errors below 0.83% with 95% confidence; as fast as …*.

    Args:
        judge: With all that it has seen.
        verdict: Of the stage, which may be more careful than the judge's own.
        distinct: How many different recorded requests were sent again and again; None where there were none.
    """
    if verdict is Verdict.HARMFUL:
        return f"harmful: {_without_level(judge.findings[0].words)}"
    signs = "no sign of harm" if judge.e_value < SIGNS else "some signs of harm, which prove nothing yet,"
    replayed = f" (recorded ones: {distinct} distinct)" if distinct else ""
    seen = f"{signs} in {plural(judge.negligible.requests, 'request')}{replayed}"
    parts = [seen if judge.negligible.requests else "no request was seen", _errors(judge), _speed(judge)]
    if verdict is Verdict.UNDECIDED:
        parts = ["too little is known to decide", *parts, str(judge.forecast or "")]
    if distinct == 1:
        parts.append("one distinct request says little about others: record more")
    return "; ".join(filter(None, parts))


def _errors(judge: Judge) -> str:
    """The candidate's error rate, and how large it may be."""
    candidate = judge.negligible
    if not candidate.requests:
        return ""
    _, high = candidate.interval
    limit = f"below {percent_at_most(high)} with {100 * (1 - judge.alpha):g}% confidence"
    if not candidate.errors:
        return f"errors {limit}"
    rates = judge.comparisons[ErrorRate.name]
    live = ""
    if isinstance(rates, ErrorRate) and rates.live_requests:
        live = f", {percent(rates.live_errors / rates.live_requests)} of live's"
    return f"{percent(candidate.errors / candidate.requests)} of the requests failed{live}; errors {limit}"


def _speed(judge: Judge) -> str:
    """Whether the candidate is as fast as live, by the median and the 95th percentile of what was measured."""
    latency = judge.comparisons.get(Latency.name)
    if not isinstance(latency, Latency) or min(latency.candidate.requests, latency.live.requests) < MANY:
        return ""
    pairs = [(latency.candidate.quantile(p), latency.live.quantile(p)) for p in (0.5, 0.95)]
    suspicious = max(judge.comparisons[name].e_value for name in (Latency.name, LatencyShift.name)) >= SIGNS
    slower = suspicious or any(candidate > max(live * (1 + ALIKE), live + ALIKE_MS) for candidate, live in pairs)
    faster = all(candidate < min(live * (1 - ALIKE), live - ALIKE_MS) for candidate, live in pairs)
    word = "slower than before" if slower else "faster than before" if faster else "as fast as before"
    measured = " and ".join(f"{candidate:.0f} ms (before: {live:.0f} ms)" for candidate, live in pairs)
    return f"{word}: half of the answers within {measured.replace(' and ', ', 95% within ')}"


def _without_level(words: str) -> str:
    """A comparison's finding without its level and verdict, which are for those who know what they are."""
    return words.partition(" (α = ")[0]
