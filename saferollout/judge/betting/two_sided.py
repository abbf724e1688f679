"""What all tests have in common: harm and health, each with its own wealth."""

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from saferollout.judge.betting.wealth import Wealth
from saferollout.judge.betting.weighing import Weighing

Array = NDArray[np.float64]


def exposure_until(log_stakes: Array, growth: Array, log_level: float) -> float | None:
    """Return how much more exposure lets a mixture of bets reach exp(`log_level`), or `None` if it will not.

    Args:
        log_stakes: What each bet is worth now, shape (J,).
        growth: How much each bet's logarithm grows per unit of exposure, shape (J,).
        log_level: The logarithm of the wealth to reach.
    """

    def short(exposure: float) -> bool:
        return float(np.logaddexp.reduce(log_stakes + growth * exposure)) < log_level

    if not short(0.0):
        return 0.0
    if growth.max() <= 0:
        return None
    # The best bet alone gets there by `high`.
    high = float(np.min((log_level - log_stakes[growth > 0]) / growth[growth > 0]))
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return high


class TwoSided(Weighing):
    """An anytime-valid test in two directions, each with wealth of its own."""

    #: Attributes with JSON values that belong to the state.
    _carried: ClassVar[tuple[str, ...]] = ()

    def __init__(self, alpha: float, harm: Wealth, health: Wealth) -> None:
        super().__init__(alpha)
        self._harm = harm
        self._health = health

    @property
    def log_e_value(self) -> float:
        """The logarithm of `e_value`."""
        return self._harm.log_e

    @property
    def log_e_value_healthy(self) -> float:
        """The logarithm of `e_value_healthy`."""
        return self._health.log_e

    @property
    @abstractmethod
    def exposure(self) -> float:
        """What the evidence grows with: candidate requests, or pairs."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The finding in one sentence, verdict last."""

    @abstractmethod
    def _growth(self) -> tuple[Array, Array]:
        """How the bets on harm and on health grow per unit of exposure if things stay as they look now."""

    def exposure_until(
        self, log_level_harm: float | None = None, log_level_health: float | None = None
    ) -> tuple[float | None, float | None]:
        """Return about how much more exposure proves harm and health; `None` where it looks as if it never will.

        A forecast for people to plan by, no evidence: it assumes that the rates seen so far are the true ones.

        Args:
            log_level_harm: The logarithm of the e-value to reach; log 1/α by default.
            log_level_health: The same for health.
        """
        harm, health = self._growth()
        to_harm = self._log_alarm if log_level_harm is None else log_level_harm
        to_health = self._log_alarm if log_level_health is None else log_level_health
        return (
            0.0 if self.log_e_value >= to_harm else exposure_until(self._harm.log_stakes, harm, to_harm),
            exposure_until(self._health.log_stakes, health, to_health),
        )

    def _play(self, harm_returns: Array, health_returns: Array, exposure: Array) -> None:
        """Play T rounds: log-returns of shape (T, J_harm) and (T, J_health), exposure before each of shape (T,)."""
        path = self._harm.advance(harm_returns, exposure)
        if len(path) and path.max() >= self._log_alarm:
            self._is_harmful = True
        self._health.advance(health_returns, exposure)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, in JSON's types."""

    def to_dict(self) -> dict[str, Any]:
        """Return settings and state in JSON's types; `from_dict` goes on from there."""
        state = {
            "is_harmful": self._is_harmful,
            "harm": self._harm.state(),
            "health": self._health.state(),
            **{name: getattr(self, name) for name in self._carried},
            **self._more_state(),
        }
        return {"settings": self.settings(), "state": state}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """Return the test whose `to_dict` gave `saved`.

        Raises:
            KeyError: Something is missing in it.
            TypeError: A setting is not one of this test.
            ValueError: It is the state of a test with other bets.
        """
        test = cls(**saved["settings"])
        state = saved["state"]
        test._is_harmful = bool(state["is_harmful"])
        test._harm.restore(state["harm"])
        test._health.restore(state["health"])
        for name in cls._carried:
            setattr(test, name, state[name])
        test._restore_more(state)
        return test

    def _more_state(self) -> dict[str, Any]:
        """What a subclass keeps beyond `_carried`, in JSON's types."""
        return {}

    def _restore_more(self, state: dict[str, Any]) -> None:
        """Take back what `_more_state` gave."""


def number(value: float) -> str:
    """Return a count in words' form: 1912 → `1,912`."""
    return f"{value:,.0f}"
