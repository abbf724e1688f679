"""Any part of a rollout is killed at any moment, with users on the endpoint; nobody helps but for the approvals.

SAFEROLLOUT_KILLS says how many processes are killed at least; the short form kills a few of each kind.
"""

import functools
import itertools
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.domain.fault_points import AFTER, BEFORE, BEGINS, ENDS, SENT, Change, Step
from tests.chaos.arena import Arena, Watched
from tests.chaos.planned import check
from tests.chaos.tally import Tally
from tests.support.stack import STAGE, Endpoint, counts_of, wait_for

PART = "kills"
KILLS = int(os.environ.get("SAFEROLLOUT_KILLS", "8"))
SEED = int(os.environ.get("SAFEROLLOUT_SEED", "1"))
LIMIT_S = 900.0
PER_KILL_S = 120.0
"""How much longer a rollout may take for each kill, on a busy machine."""
PER_ROLLOUT = 20
STAGES = [
    {"traffic": 10, "approval": True, "recheck_s": 1, "judge": STAGE},
    {"traffic": 100, "approval": False, "recheck_s": 1, "judge": STAGE},
]
FORWARD: list[tuple[Change | Step, str]] = [
    (Step.BASELINE, ENDS),
    *itertools.product(
        (
            Step.SCALE_LIVE,
            Step.CREATE,
            Step.VERIFY,
            Step.SMOKE_TEST,
            Step.ASK,
            Step.NOTE_QUESTION,
            Step.SCALE_CANDIDATE,
            Step.RECHECK,
            Step.SHIFT,
            Step.JUDGE,
            Step.RETIRE,
        ),
        (BEGINS, ENDS),
    ),
    (Step.REPORT, BEGINS),
    (Step.REPORT, ENDS),
    *itertools.product(
        (Change.SCALE_DEPLOYMENT, Change.CREATE_DEPLOYMENT, Change.DELETE_DEPLOYMENT), (BEFORE, SENT, AFTER)
    ),
    *itertools.product((Change.UPDATE_ENDPOINT,), (SENT, AFTER)),
    (Step.GUARD, BEGINS),
    (Step.GUARD, ENDS),
    (Step.RESUME, BEGINS),
    (Step.RESUME, ENDS),
]
"""Where a rollout that goes well may be killed; before it has begun nothing is to be finished."""
BACK: list[tuple[Change | Step, str]] = [
    (Step.ROLL_BACK, BEGINS),
    (Change.DELETE_DEPLOYMENT, SENT),
    (Step.ROLL_BACK, ENDS),
    (Step.CLOSE, BEGINS),
]
pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(12 * 3600)]


class ArenaEndpoint(Endpoint):
    """An endpoint of this suite's own local Azure."""

    @staticmethod
    def workspace() -> Workspace:  # type: ignore[override]
        """The workspace that the environment names now."""
        return _workspace(os.environ["LOCALAZURE_ADMIN_URL"])


@functools.cache
def _workspace(_: str) -> Workspace:
    return Workspace(Client(resolve_workspace(None)))


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """A stack of this module's own."""
    directory = tmp_path_factory.mktemp("arena")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere")
        with Arena(directory, tmp_path_factory.getbasetemp()) as made:
            for name, value in made.azure.environ.items():
                patch.setenv(name, value)
            with temporary_settings({PREFECT_API_URL: made.env["PREFECT_API_URL"]}):
                yield made


@contextmanager
def endpoint_of(arena: Arena, directory: Path, name: str) -> Iterator[tuple[Endpoint, Any]]:
    """A new endpoint with users; they must not have noticed anything."""
    folder = directory / name
    folder.mkdir()
    made = ArenaEndpoint.bootstrap(arena.stack, folder, name)
    with made.users() as users:
        yield made, users
        counts = counts_of(users)
    assert counts["failed"] == 0, counts
    arena.requests += counts["total"]
    made.delete()


def config_of(endpoint: Endpoint, **changes: Any) -> Path:
    """A rollout that may begin again as often as it is killed, and leaves nothing."""
    guard = {"max_resumes": 100}
    return endpoint.config(
        **{"stages": STAGES, "guard": guard, "retire": {"keep_s": 0}, "rollback": {"candidate": "delete"}} | changes
    )


def note(arena: Arena, tally: Tally, watched: Watched, result: str) -> None:
    """Count the kills of a rollout."""
    for point, took_s in watched.restarts_after():
        if point.startswith(("guard", "resume", "close")):
            tally.note(PART, f"guard: {point}", result)
        else:
            tally.note(PART, f"flow process: {point}", result, took_s)
    left = arena.disarm()
    if left:
        print(f"never reached: {left}")


def hands() -> Iterator[list[tuple[Change | Step, str]]]:
    """The points of each rollout, together as many as are asked for."""
    chance = random.Random(SEED)  # noqa: S311  # no secrets
    pack: list[tuple[Change | Step, str]] = []
    left = KILLS
    while left > 0:
        hand: list[tuple[Change | Step, str]] = []
        while len(hand) < min(PER_ROLLOUT, left):
            pack = pack or chance.sample(FORWARD, len(FORWARD))
            hand.append(pack.pop())
        left -= len(hand)
        yield hand


def promoted(arena: Arena, endpoint: Endpoint, watched: Watched, kills: int) -> None:
    """Wait for the end of a good candidate's rollout, and check it."""
    ended = watched.until_final(LIMIT_S + PER_KILL_S * kills)
    wait_for("the end of the record", lambda: watched.is_clear() or None, LIMIT_S)
    state = endpoint.state()
    assert (state.traffic, list(state.deployments)) == ({"green": 100}, ["green"]), watched.state["state"]
    assert [count for count in watched.answers.values() if count > 1] == [], watched.answers
    assert len(watched.answers) == sum(bool(stage["approval"]) for stage in STAGES)
    if ended == "Completed":  # one that was killed when all was done has nobody to write its report
        report = arena.stack.artifacts(watched.run)[f"{endpoint.name}-report"]["data"]
        assert report.count("Ada") == len(watched.answers)


def test_a_rollout_that_is_killed_everywhere_ends_promoted(arena: Arena, tmp_path: Path, tally: Tally) -> None:
    """Its process dies at steps' boundaries and in the middle of changes, and so does the guard at its work."""
    for number, hand in enumerate(hands()):
        with endpoint_of(arena, tmp_path, f"good-{number}") as (endpoint, _):
            for what, where in hand:
                arena.arm(what, where)
            watched = Watched(arena, endpoint, endpoint.submit(config_of(endpoint)))
            promoted(arena, endpoint, watched, len(hand))
            note(arena, tally, watched, "promoted")


def test_what_others_need_dies_while_a_rollout_is_under_way(arena: Arena, tmp_path: Path, tally: Tally) -> None:
    """Prefect's server, the worker with its runs, and Azure's management, one after the other at 10%."""
    slow = [STAGES[0] | {"judge": STAGE | {"min_duration_s": 20, "max_duration_s": 120}}, STAGES[1]]
    for number in range(max(1, KILLS // 40)):
        with endpoint_of(arena, tmp_path, f"parts-{number}") as (endpoint, _):
            watched = Watched(arena, endpoint, endpoint.submit(config_of(endpoint, stages=slow)))
            watched.answer_when_asked()
            wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)
            began = time.monotonic()
            arena.kill_server(away_s=3)
            tally.note(PART, "Prefect's server, back after 3 s", "promoted", time.monotonic() - began)
            began = time.monotonic()
            with arena.no_management():
                time.sleep(5)
            tally.note(PART, "Azure's management out of reach for 5 s, the gateway alive", "promoted", 5)
            began = time.time()
            arena.kill_worker()
            promoted(arena, endpoint, watched, 3)
            tally.note(PART, "worker and flow process, worker back after 3 s", "promoted", watched.back_after(began))
            note(arena, tally, watched, "promoted")


def test_harm_is_rolled_back_though_the_way_back_is_killed(arena: Arena, tmp_path: Path, tally: Tally) -> None:
    """A candidate that turns bad at 10%; whoever rolls it back is killed, and the next one goes on."""
    for number in range(max(1, KILLS // 40)):
        folder = tmp_path / f"bad-{number}"
        folder.mkdir()
        harmed(arena, ArenaEndpoint.bootstrap(arena.stack, folder, folder.name), tally)


def harmed(arena: Arena, endpoint: Endpoint, tally: Tally) -> None:
    """Roll out a candidate that turns bad."""
    deployment, switch = endpoint.turning("assert False, 'turned bad'")
    for what, where in BACK:
        arena.arm(what, where)
    watched = Watched(arena, endpoint, endpoint.submit(config_of(endpoint, deployment=str(deployment))))
    watched.answer_when_asked()
    wait_for("10%", lambda: endpoint.state().traffic.get("green") == 10 or None)
    switch.touch()
    watched.until_final(LIMIT_S)
    wait_for("the end of the record", lambda: watched.is_clear() or None, LIMIT_S)
    state = endpoint.state()
    assert (state.traffic, list(state.deployments)) == ({"blue": 100}, ["blue"])
    assert state.deployments["blue"].instance_count == 1
    note(arena, tally, watched, "rolled back")
    endpoint.delete()


def test_all_was_as_planned(arena: Arena, tally: Tally) -> None:
    """Local Azure's own recording of all that the others had it do, and what users got."""
    planned = check(arena.recording)
    assert [(name, found.broken) for name, found in planned.items() if found.broken] == []
    tally.facts[PART] += [
        f"{sum(found.changes for found in planned.values())} changes of endpoints, 0 against the plan"
    ]
