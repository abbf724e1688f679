"""What happens to containers, as Azure's event log names it."""

import datetime
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

MAX_EVENTS = 10_000
"""How many are kept; of more, the oldest are forgotten."""

CREATED = ("Created", "Created container inference-server")
STARTED = ("Started", "Started container inference-server")
STOPPING = ("Killing", "Stopping container inference-server")
BACK_OFF = ("BackOff", "Back-off restarting failed container")
HUNG = ("LivenessProbeFailed", "Liveness probe failed: it failed as often in a row as its failure threshold allows")
RESTARTING = ("Killing", "Container inference-server failed liveness probe, will be restarted")
NOT_READY = ("ReadinessProbeFailed", "Readiness probe failed: it failed as often in a row as its threshold allows")


@dataclass(frozen=True)
class Event:
    """Something that happened to the container of an instance."""

    time: datetime.datetime
    endpoint: str
    deployment: str
    instance: str
    name: str
    message: str


class Events:
    """Those of all deployments since local Azure was started."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)

    def add(self, endpoint: str, deployment: str, instance: str, what: tuple[str, str]) -> None:
        """Note that `what`, a name and a message, has happened now."""
        moment = datetime.datetime.now(datetime.UTC)
        self._events.append(Event(moment, endpoint, deployment, instance, *what))

    def between(self, start: datetime.datetime, end: datetime.datetime) -> Iterator[Event]:
        """Yield those from `start` on and before `end`, oldest first."""
        return (event for event in list(self._events) if start <= event.time < end)
