"""Who answers whom: whether requests are shared between deployments as they are meant to be.

Both answers are anytime-valid: one may look after every request, and stop whenever one likes.

- `log_mismatch`, the multinomial test: the logarithm of an e-value against "each request goes to deployment i with
  probability θ_i". It is the Bayes factor of a Dirichlet(1, …, 1) prior over all splits,
  `E = Γ(K) / Γ(K + n) · Π Γ(1 + n_i) / Π θ_i^n_i` (Lindon and Malek, Anytime-valid inference for multinomial count
  data, NeurIPS 2022). If the split is as meant, E ever reaches 1/α with a chance of at most α.
- `Arrival`, since when a change is in effect: the product of likelihood ratios of the new split to the old one, begun
  anew whenever it falls below one, for nobody knows when the change comes (an e-detector: Shin, Ramdas and Rinaldo,
  E-detectors, New England Journal of Statistics in Data Science, 2023; Page's CUSUM). While the old split is still in
  effect, it takes at least 1/α requests on average until it is wrongly held to be over.
"""

import math
from collections.abc import Mapping

ALPHA = 0.001


def log_mismatch(counts: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """The logarithm of the e-value against requests being shared as in `shares`.

    Args:
        counts: How many requests each deployment answered.
        shares: Each deployment's share, in any unit; whoever is not there has none.
    """
    whole, names = sum(shares.values()), counts.keys() | shares.keys()
    log_e = math.lgamma(len(names)) - math.lgamma(len(names) + sum(counts.values()))
    for name in names:
        count, share = counts.get(name, 0.0), shares.get(name, 0.0)
        if count and not share:
            return math.inf
        log_e += math.lgamma(1 + count) - (count * math.log(share / whole) if count else 0.0)
    return log_e


class Arrival:
    """Watches for requests being shared by `new` instead of `old`, each a share by deployment in any unit."""

    def __init__(self, old: Mapping[str, float], new: Mapping[str, float], alpha: float = ALPHA) -> None:
        self._old = {name: share / sum(old.values()) for name, share in old.items()}
        self._new = {name: share / sum(new.values()) for name, share in new.items()}
        self._limit = -math.log(alpha)
        self._log_ratio = 0.0
        self.counts: dict[str, int] = {}
        """The answers by deployment since the new split may be in effect."""

    def see(self, deployment: str) -> None:
        """Take in who answered one request."""
        old, new = self._old.get(deployment, 0.0), self._new.get(deployment, 0.0)
        step = (math.log(new) if new else -math.inf) - (math.log(old) if old else -math.inf) if old or new else 0.0
        if self._log_ratio + step < 0:
            self._log_ratio, self.counts = 0.0, {}
            return
        self._log_ratio += step
        self.counts[deployment] = self.counts.get(deployment, 0) + 1

    @property
    def is_here(self) -> bool:
        """Whether the old split is over, and what was seen since is compatible with the new one."""
        return self._log_ratio >= self._limit and log_mismatch(self.counts, self._new) < self._limit
