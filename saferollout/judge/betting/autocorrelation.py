"""Bets that stay fair when errors come in runs.

The likelihood ratios of this package assume that, given the rates, requests fail independently of each other. Real
errors do not: a bad instance fails several requests in a row. With lag-1 autocorrelation *r* the errors of one
deployment form runs whose lengths are geometric with mean 1/(1−r), and the variance of a count grows by
(1+r)/(1−r). A bet that multiplies the wealth by *a* for each error then pays *a* for every member of a run, and
its expectation under the null exceeds one.

The remedy is to ask for which *a'* per error a whole run pays *a* on average. The run length S has the generating
function E[z^S] = (1−r)z / (1−rz), and (1−r)a' / (1−ra') = a has the solution

    a' = a / (1 − r + r·a).

With it a fair bet on independent errors turns into a fair bet on runs; for r = 0 nothing changes, and however large
*a* is, no error pays more than 1/r. For a two-state Markov chain (stationary rate p, lag-1 autocorrelation r) the
growth rate of the resulting process under the null is at most zero for every p, not only in the limit of rare
errors; `tests/unit/judge/betting/test_autocorrelation.py` computes it as the eigenvalue of the chain's transfer
matrix.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

#: The autocorrelation that the tests allow for by default.
AUTOCORRELATION = 0.3

FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])


def allow_for_runs(factor: FloatOrArray, autocorrelation: float) -> FloatOrArray:
    """Return the factor per error whose mean over a geometric run of errors is `factor`.

    Args:
        factor: What one independent error would multiply the wealth by, > 0; a number or an array.
        autocorrelation: The lag-1 autocorrelation r of one deployment's errors, 0 ≤ r < 1.
    """
    return factor / (1.0 - autocorrelation + autocorrelation * factor)
