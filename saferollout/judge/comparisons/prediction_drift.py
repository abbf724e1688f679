"""Does the candidate answer differently from the live deployment?"""

from typing import Any, ClassVar, Self

from saferollout.domain.words import plural
from saferollout.judge.batch import Batch
from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.bounded_mean import BoundedMean
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.history import History
from saferollout.judge.plots import ALARM, CANDIDATE, Plot, close_figure, draw_rates, open_figure
from saferollout.judge.settings import Settings


class PredictionDrift(BoundedMean, Comparison):
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

    name: ClassVar[str] = "prediction_drift"
    section: ClassVar[str] = "prediction_drift"

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

    @classmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Return the comparison, or `None` if it is off."""
        section = settings.comparisons.get(cls.section)
        return None if section is None else cls(settings.alpha, autocorrelation=settings.autocorrelation, **section)

    def take(self, batch: Batch) -> None:
        """Take in the disagreement of each pair."""
        self.update(batch.disagreements)

    @property
    def tolerance(self) -> float:
        """The mean disagreement that is still all right."""
        return self.limit

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        low, high = self.interval
        return (
            f"after {plural(self.count, 'pair')} the answers differ by {self.mean:.1%} ({low:.1%}–{high:.1%}), "
            f"{self.tolerance:.1%} is tolerated (α = {self.alpha:g}): {self.verdict}"
        )

    def point(self) -> dict[str, Any]:
        """Return the pairs so far and the sum of their disagreements."""
        return {"pairs": [self.count, self.total]}

    def plot(self, history: History, /) -> Plot:
        """Return the mean disagreement of pairs over time with its confidence sequence and the tolerance."""
        figure, axes = open_figure("disagreement of pairs, %")
        means = draw_rates(
            axes,
            history.minutes,
            [point["pairs"] for point in history.points_of(self.name)],
            alpha=self.alpha,
            autocorrelation=self.autocorrelation,
            colour=CANDIDATE,
            label="candidate against live",
        )
        axes.axhline(100 * self.tolerance, color=ALARM, linestyle=":", label=f"tolerance {self.tolerance:.1%}")
        axes.set_ylim(0, min(100.0, 100 * max(2.5 * means.high[-1], 2 * self.tolerance)))
        data = {
            "time_s": history.times_s,
            "mean": means.rate,
            "low": means.low,
            "high": means.high,
            "tolerance": self.tolerance,
        }
        return close_figure(self.name, "Prediction drift", figure, axes, data)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        settings = super().settings()
        settings["tolerance"] = settings.pop("limit")
        return settings
