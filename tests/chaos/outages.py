"""What all rollouts need, and what is killed of it while some are under way."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.arena import AGAIN_S, Arena
from tests.support.stack import wait_for


@dataclass(frozen=True)
class Outage:
    """Something that is gone for a while."""

    kind: str
    """In words, for the tally."""
    strike: Callable[[Arena], None]
    """Returns when it is back."""
    kills_processes: bool = False
    """Whether the processes of the flow runs die as well."""


def server(arena: Arena) -> None:
    """Prefect's server."""
    arena.kill_server()
    time.sleep(AGAIN_S)
    arena.start_server()


def worker(arena: Arena) -> None:
    """The worker, with the processes of its runs."""
    arena.kill_worker()
    time.sleep(AGAIN_S)
    arena.start_worker()


def worker_alone(arena: Arena) -> None:
    """The worker, for want of memory; the processes of its runs go on, and nobody reads what they write."""
    gone = arena.worker
    arena.kill_worker_alone()
    wait_for("another worker", lambda: arena.worker is not gone or None)


def worker_for_good(arena: Arena) -> None:
    """The worker, with the processes of its runs; another one was there before."""
    gone = arena.worker
    arena.start_worker()
    gone.kill()


def server_and_worker(arena: Arena) -> None:
    """Both, with the processes of the runs."""
    arena.kill_server()
    arena.kill_worker()
    time.sleep(AGAIN_S)
    arena.start_server()
    arena.start_worker()


def management(arena: Arena) -> None:
    """Azure's management: its connections are reset."""
    with arena.no_management():
        time.sleep(5)


def control_plane(arena: Arena) -> None:
    """Local Azure's control plane, with the operations under way."""
    arena.kill_control_plane(AGAIN_S)


def guard(arena: Arena) -> None:
    """The guard, whatever it is at."""
    died = time.time()
    arena.guard.kill()
    wait_for("another guard", lambda: arena.guard_back_after(died))


WAITING = [
    Outage("Prefect's server while a question is open, back after 3 s", server),
    Outage("worker while a question is open, back after 3 s", worker),
    Outage("guard while a question is open, back after 3 s", guard),
]
"""While a rollout waits for its answer: no process of it is there."""
SOFT = [
    Outage("Prefect's server while the judge watches, back after 3 s", server),
    Outage("Azure's management out of reach for 5 s, the gateway alive", management),
    Outage("local Azure's control plane, back after 3 s, the gateway alive", control_plane),
    Outage("guard while the judge watches, back after 3 s", guard),
]
"""While the candidate has its first share."""
HARD = [
    Outage("worker, back after 3 s", worker, kills_processes=True),
    Outage("worker, never back; another one is there", worker_for_good, kills_processes=True),
    Outage("worker and Prefect's server, back after 3 s", server_and_worker, kills_processes=True),
]
"""The same, and the processes of the rollouts die."""
ALONE = Outage("worker, started again at once; the processes of its runs go on", worker_alone)
"""They are no longer reached by the kill of a worker."""
