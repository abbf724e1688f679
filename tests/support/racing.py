"""Two who start a rollout at the same time: call by call on Azure's twin, and as processes on any Azure."""

import threading
from collections.abc import Callable
from typing import Any, cast

from saferollout.azure.memory import Memory
from saferollout.azure.port import Azure, Resource
from saferollout.azure.workspace import Workspace

STEPS = frozenset({"read_endpoint", "list_deployments", "put_endpoint", "settle"})
"""What is done in turns."""


class Turns:
    """Lets threads go on one call to Azure at a time, in an order that is chosen."""

    def __init__(self, choose: Callable[[list[str]], str]) -> None:
        self._choose = choose
        self._changed = threading.Condition()
        self._waiting: dict[str, str] = {}
        self._running: set[str] = set()
        self._granted = ""

    def take(self, name: str, call: str) -> None:
        """Wait until it is this one's turn."""
        with self._changed:
            self._waiting[name] = call
            self._running.discard(name)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._granted == name, 30)
            self._granted = ""
            del self._waiting[name]
            self._running.add(name)

    def play(self, starts: dict[str, Callable[[], None]]) -> None:
        """Run them all to their ends. Nobody has settled while a write is on its way: that is what settling means."""

        def run(name: str) -> None:
            try:
                starts[name]()
            finally:
                with self._changed:
                    self._running.discard(name)
                    self._changed.notify_all()

        self._running = set(starts)
        threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in starts]
        for thread in threads:
            thread.start()
        while True:
            with self._changed:
                assert self._changed.wait_for(lambda: not self._running and not self._granted, 30)
                if not self._waiting:
                    break
                writes = "put_endpoint" in self._waiting.values()
                ready = sorted(name for name, call in self._waiting.items() if not (writes and call == "settle"))
                self._granted = self._choose(ready)
                self._running.add(self._granted)
                self._changed.notify_all()
        for thread in threads:
            thread.join(30)


class InTurns:
    """The twin, as one of those sees it who take turns."""

    def __init__(self, memory: Memory, turns: Turns, name: str) -> None:
        self._memory, self._turns, self._name = memory, turns, name

    def __getattr__(self, call: str) -> Any:
        found = getattr(self._memory, call)
        if call not in STEPS:
            return found

        def in_turn(*arguments: Any) -> Any:
            self._turns.take(self._name, call)
            return found(*arguments)

        return in_turn


class Overtaken:
    """The twin, as somebody sees it whose first write another one overtakes, or is overtaken by.

    `meanwhile` is what the other one does before the write arrives, with a workspace in which to settle is to let it
    arrive.
    """

    def __init__(self, memory: Memory, meanwhile: Callable[[Workspace], None]) -> None:
        self._memory, self._meanwhile = memory, meanwhile
        self._is_first = True

    def __getattr__(self, call: str) -> Any:
        return getattr(self._memory, call)

    def put_endpoint(self, endpoint: str, resource: Resource) -> None:
        """Let the other one be quicker."""
        if not self._is_first:
            return self._memory.put_endpoint(endpoint, resource)
        self._is_first = False
        is_here = False

        def arrive() -> None:
            nonlocal is_here
            if not is_here:
                is_here = True
                self._memory.put_endpoint(endpoint, resource)

        self._meanwhile(workspace(_Arriving(self._memory, arrive)))
        arrive()
        return None


class _Arriving:
    def __init__(self, memory: Memory, arrive: Callable[[], None]) -> None:
        self._memory, self._arrive = memory, arrive

    def __getattr__(self, call: str) -> Any:
        return getattr(self._memory, call)

    def settle(self, _took_s: float) -> None:
        self._arrive()


def workspace(port: Any) -> Workspace:
    """A workspace on a port that hands most calls on."""
    return Workspace(cast("Azure", port))
