"""What to judge, and how strictly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saferollout.judge.betting.autocorrelation import AUTOCORRELATION


@dataclass(frozen=True, slots=True)
class Settings:
    """The judge's part of a stage's config, under the same names, with what was measured of the live deployment.

    Only the error rates are compared until `comparisons` names more.
    """

    alpha: float = 0.05
    """Chance that a harmless candidate is ever called harmful; that a bad one is ever called healthy, likewise."""
    margin: float = 0.0
    """Harm is an error rate above (1 + margin) times the live one."""
    no_worse_than: float = 0.5
    """Health is an error rate below (1 + no_worse_than) times the live one, …"""
    negligible_error_rate: float = 0.01
    """… or below this rate."""
    comparisons: Mapping[str, Any] = field(default_factory=dict)
    """What the config says of each further comparison, by its key there; in JSON's types, or tuples for lists."""
    required: tuple[str, ...] = ()
    """Comparisons that must prove health, too, before the verdict is healthy."""
    cut_points_ms: tuple[float, ...] = ()
    """Quantiles of the live deployment's latency before the stage."""
    autocorrelation: float = AUTOCORRELATION
    """Lag-1 autocorrelation of what one deployment does that the comparisons allow for."""

    def __post_init__(self) -> None:
        """Give the values the same form before and after a trip through JSON, which has no tuples."""
        object.__setattr__(self, "comparisons", _with_lists(dict(self.comparisons)))
        object.__setattr__(self, "required", tuple(self.required))
        object.__setattr__(self, "cut_points_ms", tuple(self.cut_points_ms))


def _with_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_lists(item) for item in value]
    return value
