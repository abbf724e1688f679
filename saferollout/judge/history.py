"""The course of a judgement: a bounded number of points over time, for plots and reports."""

from typing import Any

#: More points than this are thinned to half as many.
LIMIT = 100


class History:
    """Points that an update adds, thinned evenly so that their number stays bounded, the last one always kept."""

    def __init__(self) -> None:
        self._points: list[dict[str, Any]] = []
        self._last: dict[str, Any] | None = None
        self._stride = 1
        self._seen = 0

    def add(self, point: dict[str, Any]) -> None:
        """Add a point (names and JSON values)."""
        self._last = point
        if self._seen % self._stride == 0:
            self._points.append(point)
            if len(self._points) > LIMIT:
                self._points = self._points[::2]
                self._stride *= 2
        self._seen += 1

    @property
    def points(self) -> list[dict[str, Any]]:
        """The points kept, in order."""
        if self._last is None or (self._points and self._points[-1] is self._last):
            return list(self._points)
        return [*self._points, self._last]

    def points_of(self, comparison: str) -> list[dict[str, Any]]:
        """Return what a comparison, by its name, had to say at each point."""
        return [point["comparisons"][comparison] for point in self.points]

    @property
    def times_s(self) -> list[float]:
        """When each point was added, in seconds of watching."""
        return [float(point["time_s"]) for point in self.points]

    @property
    def minutes(self) -> list[float]:
        """The same in minutes."""
        return [time_s / 60 for time_s in self.times_s]

    def to_dict(self) -> dict[str, Any]:
        """Return the state in JSON's types."""
        return {"points": self._points, "last": self._last, "stride": self._stride, "seen": self._seen}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "History":
        """Return the history whose `to_dict` gave `state`."""
        history = cls()
        history._points = list(state["points"])
        history._last = state["last"]
        history._stride = int(state["stride"])
        history._seen = int(state["seen"])
        if history._points and history._points[-1] == history._last:
            history._last = history._points[-1]
        return history
