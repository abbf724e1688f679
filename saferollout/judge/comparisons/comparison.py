"""What the judge asks of every comparison."""

from abc import abstractmethod
from typing import Any, ClassVar, Self

from saferollout.domain.evidence import Check
from saferollout.judge.batch import Batch
from saferollout.judge.betting.two_sided import TwoSided
from saferollout.judge.history import History
from saferollout.judge.plots import Plot
from saferollout.judge.settings import Settings


class Comparison(TwoSided):
    """A test of the candidate that the judge knows how to switch on, feed, keep, and display.

    A new one is a file in this folder and an entry in `saferollout.judge.judge.COMPARISONS`. The statistics are those
    of a class in `saferollout.judge.betting`, or its own: whatever is `TwoSided`.
    """

    name: ClassVar[str]
    """As the config, the tables and the judge's state name it."""
    section: ClassVar[str]
    """The key in `Settings.comparisons` that switches it on; empty if it is always on."""

    @classmethod
    @abstractmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Return the comparison, or `None` if it is off or there is nothing to compare with.

        Raises:
            TypeError: Its section has a key that it does not know.
            ValueError: A setting lies outside its range.
        """

    @abstractmethod
    def take(self, batch: Batch) -> None:
        """Take in its part of a batch.

        Raises:
            ValueError: A value is out of its range.
        """

    def point(self) -> dict[str, Any]:
        """Return what the history keeps of it after each batch, in JSON's types: what its plot needs."""
        return {}

    def rows(self) -> list[Check]:
        """Return its lines of the evidence's table beside the e-value, which every comparison has."""
        return []

    def plot(self, _history: History, /) -> Plot | None:
        """Return its plot beside the e-value's, which every comparison has; `None` if there is no more to display."""
        return None
