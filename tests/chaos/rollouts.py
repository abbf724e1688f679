"""Rollouts whose processes die, and what must be true of them in the end."""

import functools
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.rollout.rollout import TAG_ROLLOUT
from tests.chaos.arena import Arena
from tests.chaos.outages import ALONE, HARD, SOFT, WAITING, Outage
from tests.chaos.planned import check
from tests.chaos.points import Hand
from tests.chaos.tally import Tally
from tests.chaos.watched import Watched
from tests.support.stack import STAGE, Endpoint, counts_of, wait_for

PART = "kills"
LIMIT_S = 900.0
PER_KILL_S = 120.0
"""How much longer a rollout may take for each kill, on a busy machine."""
AT_ONCE = 4
"""How many rollouts are under way at the same time."""
REQUESTS_PER_S = 5
STAGES = [
    {"traffic": 10, "approval": True, "recheck_s": 1, "judge": STAGE},
    {"traffic": 100, "approval": False, "recheck_s": 1, "judge": STAGE},
]
SLOW = [STAGES[0] | {"judge": STAGE | {"min_duration_s": 60, "max_duration_s": 240}}, STAGES[1]]
"""The judge takes its time at 10%."""


class ArenaEndpoint(Endpoint):
    """An endpoint of this suite's own local Azure."""

    @staticmethod
    def workspace() -> Workspace:  # type: ignore[override]  # mypy takes the cache for another type
        """The workspace that the environment names now; one client serves one thread."""
        return _workspace(os.environ["LOCALAZURE_ADMIN_URL"], threading.get_ident())


@functools.cache
def _workspace(_url: str, _thread: int) -> Workspace:
    return Workspace(Client(resolve_workspace(None)))


def endpoint_of(arena: Arena, directory: Path, name: str) -> Endpoint:
    """A new endpoint."""
    folder = directory / name
    folder.mkdir()
    return ArenaEndpoint.bootstrap(arena.stack, folder, name)


@contextmanager
def used(tally: Tally, endpoint: Endpoint) -> Iterator[None]:
    """Users are on the endpoint meanwhile; they must not have noticed anything."""
    with endpoint.users(REQUESTS_PER_S) as users:
        yield
        counts = counts_of(users)
    tally.add(PART, "requests of users while a good candidate was rolled out", counts["total"])
    tally.add(PART, "of which failed", counts["failed"])
    assert counts["failed"] == 0, counts


def config_of(endpoint: Endpoint, **changes: Any) -> Path:
    """A rollout that may begin again as often as it is killed, and leaves nothing."""
    guard = {"max_resumes": 100}
    return endpoint.config(
        **{"stages": STAGES, "guard": guard, "retire": {"keep_s": 0}, "rollback": {"candidate": "delete"}} | changes
    )


def start(arena: Arena, endpoint: Endpoint, hand: Hand | None = None, **changes: Any) -> Watched:
    """A rollout, whose process is killed at its points, and the guard at its own."""
    run = endpoint.submit(config_of(endpoint, **changes), held=True)
    for what, where in hand.run if hand else ():
        arena.arm(what, where, run)
    for what, where in hand.guard if hand else ():
        arena.arm(what, where, "")
    endpoint.let_go(run)
    return Watched(arena, endpoint, run)


def promoted(watched: Watched, kills: int) -> None:
    """Wait for the end of a good candidate's rollout, and check it."""
    watched.until_final(LIMIT_S + PER_KILL_S * kills)
    wait_for("the end of the record", lambda: watched.is_clear() or None, LIMIT_S)
    state = watched.endpoint.state()
    assert (state.traffic, list(state.deployments)) == ({"green": 100}, ["green"]), watched.story()
    assert [count for count in watched.answers.values() if count > 1] == [], watched.answers
    assert watched.report("Completed").count("Ada") == 1


def rolled_back(watched: Watched, kills: int) -> None:
    """Wait for the end of a bad candidate's rollout, and check it."""
    watched.until_final(LIMIT_S + PER_KILL_S * kills)
    wait_for("the end of the record", lambda: watched.is_clear() or None, LIMIT_S)
    state = watched.endpoint.state()
    assert (state.traffic, list(state.deployments)) == ({"blue": 100}, ["blue"])
    assert state.deployments["blue"].instance_count == 1
    assert "Rolled back" in watched.report("Failed")


def note(tally: Tally, watched: Watched, result: str) -> None:
    """Count the kills of a rollout's process."""
    for point, took_s in watched.restarts_after():
        tally.note(PART, f"flow process: {point}", result, took_s)


def note_guards(arena: Arena, tally: Tally) -> None:
    """Count the kills of the guard; what became of the rollouts is counted with theirs."""
    for kill in arena.kills():
        if not kill.run:
            tally.note(PART, f"guard: {kill.point}", "looked again", arena.guard_back_after(kill.at))
    arena.forget()


def good(arena: Arena, tally: Tally, directory: Path, name: str, hand: Hand) -> None:
    """Roll out a good candidate while processes die at these points."""
    endpoint = endpoint_of(arena, directory, name)
    with used(tally, endpoint):
        watched = start(arena, endpoint, hand)
        promoted(watched, hand.kills)
        note(tally, watched, "promoted")
    endpoint.delete()


def bad(arena: Arena, tally: Tally, directory: Path, name: str, hand: Hand) -> None:
    """Roll out a candidate that turns bad at 10% while whoever rolls it back dies at these points."""
    endpoint = endpoint_of(arena, directory, name)
    deployment, switch = endpoint.turning("assert False, 'turned bad'")
    watched = start(arena, endpoint, hand, deployment=str(deployment))
    watched.answer_when_asked()
    wait_for("10%", lambda: endpoint.state().traffic.get("green") == 10 or None)
    switch.touch()
    rolled_back(watched, hand.kills)
    note(tally, watched, "rolled back")
    endpoint.delete()


def outages(arena: Arena, tally: Tally, directory: Path, name: str, number: int, count: int) -> None:
    """Roll out some good candidates while what all of them need is gone for a while, again and again."""
    endpoints = [endpoint_of(arena, directory, f"{name}-{each}") for each in range(count)]
    with ExitStack() as stack:
        for endpoint in endpoints:
            stack.enter_context(used(tally, endpoint))
        runs = [start(arena, endpoint, stages=SLOW) for endpoint in endpoints]
        for watched in runs:
            watched.until_asked()
        struck(arena, tally, runs, WAITING[number % len(WAITING)])
        for watched in runs:
            watched.answer_when_asked()
        for watched in runs:
            wait_for("10%", functools.partial(has_share, watched.endpoint))
        struck(arena, tally, runs, SOFT[number % len(SOFT)])
        struck(arena, tally, runs, HARD[number % len(HARD)])
        for watched in runs:
            promoted(watched, 3)
    for endpoint in endpoints:
        endpoint.delete()


def storm(arena: Arena, tally: Tally, directory: Path, name: str, killed: threading.Event) -> None:
    """Roll out a good candidate; at 10% the worker dies with the run's process, later Prefect's server, and so on.

    The others begin after that kill: theirs die at points of their own, which it would skip.
    """
    try:
        endpoint = endpoint_of(arena, directory, name)
        with used(tally, endpoint):
            at_once = STAGES[0] | {"approval": False, "judge": STAGE | {"min_duration_s": 8}}
            watched = start(arena, endpoint, stages=[at_once, STAGES[1] | {"approval": True}])
            wait_for("10%", functools.partial(has_share, endpoint))
            began = time.time()
            struck(arena, tally, [], HARD[0])
            killed.set()
            wait_for("a record of the others", functools.partial(under_way, endpoint, AT_ONCE - 1, set()))
            for outage in (ALONE, *SOFT):
                struck(arena, tally, [], outage)
            tally.note(PART, f"flow process, with its {HARD[0].kind}", "promoted", watched.until_back(began))
            promoted(watched, 3)
        endpoint.delete()
    finally:
        killed.set()


def under_way(endpoint: Endpoint, count: int, seen: set[str]) -> bool | None:
    """Whether so many rollouts beside this one have, or had, a record: before it, there is nothing to be resumed.

    Those that were `seen` count: on a slow machine one may have ended before the next has begun.
    """
    seen |= set(endpoint.workspace().endpoints(with_tag=TAG_ROLLOUT)) - {endpoint.name}
    return len(seen) >= count or None


def later(moment: threading.Event, job: Callable[..., None], *arguments: Any) -> None:
    """Do this from that moment on."""
    assert moment.wait(LIMIT_S)
    job(*arguments)


def has_share(endpoint: Endpoint) -> bool | None:
    """Whether the candidate has its first share."""
    return endpoint.state().traffic == {"blue": 90, "green": 10} or None


def struck(arena: Arena, tally: Tally, runs: list[Watched], outage: Outage) -> None:
    """Let it strike, and wait until it is put right."""
    began = time.time()
    outage.strike(arena)
    # who dies with it is counted below, and so is how long that takes
    tally.note(PART, outage.kind, "promoted", None if outage.kills_processes else time.time() - began)
    if outage.kills_processes:
        for watched in runs:
            tally.note(PART, f"flow process, with its {outage.kind}", "promoted", watched.until_back(began))


def abandoned(arena: Arena, tally: Tally, directory: Path, name: str) -> None:
    """A candidate turns bad at 10% when nothing of Prefect is left; the guard alone rolls it back."""
    endpoint = endpoint_of(arena, directory, name)
    deployment, switch = endpoint.turning("assert False, 'turned bad'")
    with endpoint.users(REQUESTS_PER_S):
        watched = start(arena, endpoint, deployment=str(deployment), stages=SLOW)
        watched.answer_when_asked()
        wait_for("10%", lambda: endpoint.state().traffic.get("green") == 10 or None)
        arena.kill_server()
        arena.kill_worker()
        switch.touch()
        began = time.time()
        wait_for("the way back", lambda: endpoint.state().traffic == {"blue": 100} or None, LIMIT_S)
        took_s = time.time() - began
    arena.start_server()
    arena.start_worker()
    rolled_back(watched, 3)
    tally.note(
        PART, "worker, flow process and Prefect's server, none back; the candidate turns bad", "rolled back", took_s
    )
    endpoint.delete()


def together(arena: Arena, tally: Tally, directory: Path, jobs: Sequence[Callable[..., None]]) -> list[str]:
    """Do these, some at the same time; one that fails does not end the others. Returns how they failed."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = [pool.submit(copy_context().run, job, arena, tally, directory) for job in jobs]
    return ["".join(traceback.format_exception(error)) for each in done if (error := each.exception())]


def all_planned(arena: Arena, tally: Tally) -> bool:
    """Whether every change that local Azure recorded was a planned one."""
    planned = check(arena.recording)
    tally.add(PART, "changes of endpoints", sum(found.changes for found in planned.values()))
    tally.add(PART, "of which were not planned", sum(len(found.broken) for found in planned.values()))
    broken = [(name, found.broken) for name, found in planned.items() if found.broken]
    assert broken == []
    return bool(planned)
