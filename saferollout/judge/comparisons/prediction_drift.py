"""Does the candidate answer differently from the live deployment?"""

from typing import Any

from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.bounded_mean import BoundedMean


class PredictionDrift(BoundedMean):
    """An anytime-valid test on pairs: the same request, answered by both deployments.

    `update` takes the disagreement D of each pair, in [0, 1] (`saferollout.judge.disagreement` measures it); harm
    is a mean above the tolerance, health one below it.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        tolerance: The mean disagreement that is still all right, in (0, 1).
        block: Pairs a bet, at least 1 (see `BoundedMean`).
        gap: Pairs left out between two bets, at least 0.
        autocorrelation: Lag-1 autocorrelation that the health test allows for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    def __init__(
        self,
        alpha: float = 0.05,
        tolerance: float = 0.05,
        *,
        block: int = 10,
        gap: int = 2,
        autocorrelation: float = AUTOCORRELATION,
        reserve: float = 0.25,
    ) -> None:
        super().__init__(alpha, tolerance, block=block, gap=gap, autocorrelation=autocorrelation, reserve=reserve)

    @property
    def tolerance(self) -> float:
        """The mean disagreement that is still all right."""
        return self.limit

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        low, high = self.interval
        return (
            f"after {self.count:,} pairs the answers differ by {self.mean:.1%} ({low:.1%}–{high:.1%}), "
            f"{self.tolerance:.1%} is tolerated (α = {self.alpha:g}): {self.verdict}"
        )

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        settings = super().settings()
        settings["tolerance"] = settings.pop("limit")
        return settings
