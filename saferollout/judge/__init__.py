"""The judge: anytime-valid statistics that say whether a candidate is healthy, harmful, or undecided.

Pure numpy; no I/O, no clock, no knowledge of where the counts come from.
"""

from saferollout.judge.error_rate_slo import ErrorRateSlo
from saferollout.judge.rate_ratio import RateRatio
from saferollout.judge.verdict import Verdict

__all__ = ["ErrorRateSlo", "RateRatio", "Verdict"]
