"""The judge: anytime-valid statistics that say whether a candidate is healthy, harmful, or undecided.

Plain numpy: no I/O, no clock, no knowledge of where the counts come from. `Judge` asks the comparisons in
`saferollout.judge.comparisons` alike (see `Comparison`); each also works alone: `update(…)` takes data and returns
the verdict, `e_value` is the evidence for harm, `e_value_healthy` for health, `words` the finding in a sentence,
`to_dict` and `from_dict` carry it over. `saferollout.judge.betting` is the mathematics beneath.
"""

from saferollout.judge import disagreement
from saferollout.judge.batch import Batch
from saferollout.judge.betting.bounded_mean import BoundedMean
from saferollout.judge.betting.intervals import rate_interval
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.comparisons.error_rate import ErrorRate
from saferollout.judge.comparisons.error_rate_slo import ErrorRateSlo
from saferollout.judge.comparisons.latency import Latency, cut_points_ms
from saferollout.judge.comparisons.latency_shift import LatencyShift
from saferollout.judge.comparisons.output_drift import OutputDrift
from saferollout.judge.comparisons.prediction_drift import PredictionDrift
from saferollout.judge.comparisons.quality import Quality
from saferollout.judge.judge import Finding, Forecast, Judge
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

__all__ = [
    "Batch",
    "BoundedMean",
    "Comparison",
    "ErrorRate",
    "ErrorRateSlo",
    "Finding",
    "Forecast",
    "Judge",
    "Latency",
    "LatencyShift",
    "OutputDrift",
    "PredictionDrift",
    "Quality",
    "Settings",
    "Verdict",
    "cut_points_ms",
    "disagreement",
    "rate_interval",
]
