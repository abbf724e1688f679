"""Azure's management fails at each of its calls, in each of its ways, while a good candidate is rolled out.

SAFEROLLOUT_FAILURES says how many failures; SAFEROLLOUT_SEED which.
"""

import contextlib
import gc
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
import tenacity

from localazure.chaos import Chaos
from localazure.core.certificates import trusting_only
from localazure.testing import LocalAzure
from saferollout.azure.client import DRAIN, Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from tests.chaos.core import CoreRun, End, Site, tried
from tests.chaos.failures import CHANGES, REPEATED, Failure, at_calls, dealt, hung, one_of_each_kind, stale
from tests.chaos.planned import check
from tests.chaos.tally import Tally
from tests.support.stack import wait_for

PART = "management failures"
IS_SHORT = "SAFEROLLOUT_FAILURES" not in os.environ
COUNT = int(os.environ.get("SAFEROLLOUT_FAILURES", "20"))
SEED = int(os.environ.get("SAFEROLLOUT_SEED", "1"))
AT_ONCE = 8
"""How many failures a rollout meets."""
THREADS = 3
OPERATION_TIMEOUT_S = 60.0
HANG_TIMEOUT_S = 15.0
"""How long an operation may take where one never ends."""
HANGS_S = 5.0
"""How much longer it takes then until it ends all the same."""
PLANE_KILLS = 2 if IS_SHORT else 8
STALE_S = float(os.environ.get("SAFEROLLOUT_STALE_S", "5"))
"""How old reads are; on Azure up to 90 s."""
pytestmark = [
    pytest.mark.xdist_group("chaos"),
    pytest.mark.timeout(900 if IS_SHORT else 6 * 3600),
    # a connection that Azure's client has given up is closed by nobody but the collector
    pytest.mark.filterwarnings("ignore:Exception ignored in.*SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]


@dataclass
class Ground:
    """A local Azure that writes down what it is asked, and a place for files."""

    azure: LocalAzure
    recording: Path
    directory: Path

    def site(self, name: str, operation_timeout_s: float = OPERATION_TIMEOUT_S) -> Site:
        """A new endpoint."""
        config = resolve_workspace(None).model_copy(update={"operation_timeout_s": operation_timeout_s})
        return Site(name, self.directory / name, config)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A local Azure of this module's own."""
    directory = tmp_path_factory.mktemp("failures")
    recording = directory / "recording.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere")
        patch.setenv(DRAIN, "1")
        with LocalAzure(None, "--strict", timing="instant", record=recording) as azure:
            for name, value in trusting_only(azure.environ).items():
                patch.setenv(name, value)
            yield Ground(azure, recording, directory)
    with warnings.catch_warnings():  # here, for a later test would be blamed for it
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def rolled_out(ground: Ground, site: Site, hand: list[Failure], number: int) -> tuple[End, Counter[Failure]]:
    """A rollout while these failures strike, and how often each did."""
    found = site.project(scales=True)
    with ExitStack() as struck:
        faults = {}
        for failure in hand:
            skip = number % 4 if failure.site in REPEATED else 0
            faults[failure] = struck.enter_context(failure.strike(ground.azure.chaos, site.name, skip))
        end = CoreRun(site, found).run()
        hits = Counter({failure: fault.hits for failure, fault in faults.items()})
    state = tried.copy()(Workspace(Client(site.config)).get_endpoint, site.name)  # others' failures go on
    (live,) = state.deployments
    assert state.traffic == {live: 100}, f"after {[failure.name for failure in hand]}: {state}"
    assert state.deployments[live].instance_count == 1
    return end, hits


def checked(
    ground: Ground,
    tally: Tally,
    site: Site,
    kind: str | None,
    run: CoreRun,
    *,
    passes: bool,
    meanwhile: AbstractContextManager[object] = nullcontext(),  # noqa: B008  # it keeps nothing
) -> None:
    """Let a rollout run while something goes on being wrong, and check what came of it."""
    with site.users as users, meanwhile:
        end = run.run()
    state = tried.copy()(Workspace(Client(site.config)).get_endpoint, site.name)  # others' failures go on
    (live,) = state.deployments
    assert state.traffic == {live: 100}
    assert users.failures == []
    assert check(ground.recording)[site.name].broken == []
    assert end.promoted or not passes, end.reason
    if kind:  # else whoever lets it go wrong counts
        tally.note(PART, kind, "promoted" if end.promoted else "rolled back", end.took_s)


def test_tokens_expire_a_key_is_changed_and_the_control_plane_dies(ground: Ground, tally: Tally) -> None:
    """The tokens before every single step, the key between its reading and its use, the control plane at any moment."""
    chaos, site = ground.azure.chaos, ground.site("signing-in")
    run, ended = CoreRun(site, site.project(scales=True)), threading.Event()

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(httpx.TransportError),  # the control plane may be killed meanwhile
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(60),
    )
    def spoil(step: str) -> None:
        if step == "smoke test with a key":
            chaos.rotate_key(site.name)
            tally.note(PART, "key changed between its reading and its use", "promoted")
        else:
            chaos.expire_tokens()
            tally.note(PART, "all tokens expired before a step", "promoted")

    def kill() -> None:
        for _ in range(PLANE_KILLS):
            if ended.wait(3):
                return
            began = time.monotonic()
            other.crash(1)
            tally.note(PART, "control plane killed, the gateway alive", "promoted", time.monotonic() - began)

    run.between = spoil
    with contextlib.closing(Chaos(ground.azure.environ)) as other:
        killing = threading.Thread(target=kill)
        killing.start()
        try:
            checked(ground, tally, site, None, run, passes=True)
        finally:
            ended.set()
            killing.join()


def late(ground: Ground, tally: Tally, site: Site) -> None:
    """Whatever is read of the endpoint is as it was a while ago, from the first step to the last."""
    run, since = CoreRun(site, site.project(scales=False)), time.monotonic()
    wait_for("reads that show the endpoint", lambda: time.monotonic() > since + STALE_S or None, STALE_S + 60)
    reads = stale(STALE_S).strike(ground.azure.chaos, site.name, 0)
    checked(ground, tally, site, f"every read {STALE_S:g} s old", run, passes=True, meanwhile=reads)


def hanging(ground: Ground, tally: Tally, site: Site, number: int, failure: Failure) -> None:
    """An operation never ends; when it does at last, nothing of it is left over."""
    site.config = site.config.model_copy(update={"operation_timeout_s": HANG_TIMEOUT_S})
    run = CoreRun(site, site.project(scales=True))
    with failure.strike(ground.azure.chaos, site.name, number % 2) as fault:
        ending = threading.Timer(HANG_TIMEOUT_S + HANGS_S, fault.remove)
        ending.start()
        checked(ground, tally, site, failure.name, run, passes=False)
        ending.join()


def dying(ground: Ground, tally: Tally, site: Site) -> None:
    """*Succeeded*, and a moment later the candidate's instance is gone: users are not sent there."""
    run = CoreRun(site, site.project(scales=False))

    def kill(step: str) -> None:
        if step == "verify":
            ground.azure.chaos.kill_instance(site.name, "green")

    run.between = kill
    checked(ground, tally, site, "candidate dies after *Succeeded*", run, passes=False)


def slow_ones(ground: Ground, tally: Tally) -> list[Callable[[], None]]:
    """What takes long because of what it waits for; its endpoints are there before anything fails."""
    makes = [
        partial(ground.site, "late", OPERATION_TIMEOUT_S + 2 * STALE_S),
        partial(ground.site, "dying"),
        *(partial(ground.site, f"hanging-{number}") for number in range(len(CHANGES))),
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        old, dead, *stuck = [done.result() for done in [pool.submit(make) for make in makes]]
    return [
        partial(late, ground, tally, old),
        partial(dying, ground, tally, dead),
        *(
            partial(hanging, ground, tally, site, number, hung(name))
            for number, (site, name) in enumerate(zip(stuck, CHANGES, strict=True))
        ),
    ]


def test_every_failure_at_every_call_is_survived(ground: Ground, tally: Tally) -> None:
    """Users notice nothing, traffic is as planned, and every rollout ends promoted, or rolled back by itself.

    At the same time reads are old, operations of each kind never end, and a candidate dies after it came up.
    """
    hands = enumerate(dealt(one_of_each_kind(SEED) if IS_SHORT else at_calls(), AT_ONCE, SEED))
    lock = threading.Lock()
    ends: list[tuple[End, Counter[Failure]]] = []

    def work(name: str) -> Site:
        site = ground.site(name)
        with site.users:
            usual_s = 0.0 if IS_SHORT else rolled_out(ground, site, [], 0)[0].took_s
            while True:
                with lock:
                    if sum(hits.total() for _, hits in ends) >= COUNT:
                        return site
                    number, hand = next(hands)
                end, hits = rolled_out(ground, site, hand, number)
                with lock:
                    ends.append((end, hits))
                    if not end.promoted:
                        struck = [failure.name for failure, times in hits.items() if times]
                        print(f"\n{site.name} {end.took_s:.0f} s: {end.reason} after {struck}", flush=True)
                    for failure, times in hits.items():
                        if times:
                            result = "promoted" if end.promoted else "rolled back"
                            tally.note(PART, failure.kind, result, max(0, end.took_s - usual_s), times=times)

    slow = slow_ones(ground, tally)
    with ThreadPoolExecutor(THREADS + len(slow)) as pool:
        waits = [pool.submit(job) for job in slow]
        sites = list(pool.map(work, [f"site-{number}" for number in range(THREADS)]))
    for done in waits:
        done.result()

    planned = check(ground.recording)
    tally.add(PART, "requests of users", sum(site.users.sent for site in sites))
    tally.add(PART, "of which failed", sum(len(site.users.failures) for site in sites))
    tally.add(PART, "changes of endpoints", sum(found.changes for found in planned.values()))
    tally.add(PART, "of which were not planned", sum(len(found.broken) for found in planned.values()))
    assert [(name, found.broken) for name, found in planned.items() if found.broken] == []
    assert [(site.name, site.users.failures) for site in sites if site.users.failures] == []
    went_back = [
        (end.reason, [failure.name for failure in hits if hits[failure]])
        for end, hits in ends
        if not end.promoted and all(failure.passes for failure in hits if hits[failure])
    ]
    assert went_back == []
