"""What a tag claims counts only where Prefect's own record agrees, or where this machine can see it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import flow, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Running

from saferollout.approvals.history import HistoryEvent
from saferollout.approvals.keys import Keyring
from saferollout.approvals.tag import fitted, sign
from saferollout.config import project
from saferollout.config.rollout import StageConfig
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Baseline, Decision
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record, now
from saferollout.rollout.rollout import Rollout
from tasks.begin import _is_gone
from tasks.support import history
from tasks.support.claims import prove
from tests.support.signing import make_keys
from tests.support.stack import REPOSITORY, Stack

DIGEST = "0123456789ab"
NAME = "fedcba987654-10"
KEY = f"{NAME}-{DIGEST}"
NO_KEYS = Keyring()
ANSWER = {"decision": "approve", "approver": "Ann", "comment": "a long word " * 40, "evidence": DIGEST}


@flow
async def asks() -> None:
    """What the runs here are runs of."""


async def look(rollout: Rollout, claim: Decision, keys: Keyring = NO_KEYS) -> Decision | None:
    """Look an approval up, as a rollout does before it asks."""
    return await prove(rollout, StageConfig(traffic=10), claim, NAME, keys)


@pytest.fixture(autouse=True)
def prefect(stack: Stack) -> Iterator[None]:
    """The stack's Prefect server."""
    with temporary_settings({PREFECT_API_URL: stack.env["PREFECT_API_URL"]}):
        yield


def rollout(share: int = 10) -> Rollout:
    """A rollout that has reached a stage."""
    found = project.load(REPOSITORY / "configs" / "rollout.yaml")
    record = Record(
        rollout="r-1",
        owner=Owner(name="ann@laptop", flow_run="run-1"),
        since=now(),
        candidate="green",
        revision=found.revision,
        baseline=Baseline(live="blue", instance_count=1),
        share=share,
    )
    return Rollout.of(found, record)


async def answered(**changes: Any) -> Decision:
    """A run that was given an answer, and the decision that follows from it, as a tag holds it."""
    async with get_client() as client:
        run = await client.create_flow_run(asks, state=Completed())
        given = json.dumps(ANSWER | changes)
        await client.create_flow_run_input(run.id, f"suspended-{KEY}-response", given)
    return fitted(
        Decision.model_validate(ANSWER | {"stage": 10, "at": now(), "rollout": "r-1", "flow_run": str(run.id)})
    )


async def test_an_approval_that_prefect_knows_counts_and_is_whole() -> None:
    """The comment that a tag had no room for comes back with it."""
    claim = await answered()
    assert claim.comment.endswith("…")

    found = await look(rollout(), claim)

    assert found == claim.model_copy(update={"comment": ANSWER["comment"]})


@pytest.mark.parametrize(
    "forged",
    [
        {"decision": "reject"},
        {"rollout": "r-2"},
        {"rollout": ""},
        {"share": 100},
        {"evidence": "0" * 12},
        {"evidence": f"../{DIGEST}"},
        {"flow_run": "00000000-0000-0000-0000-000000000001"},
        {"flow_run": "run"},
        {"flow_run": ""},
        {"approver": "Mallory"},
        {"proof": "totp"},
    ],
    ids=[
        "a rejection",
        "another rollout",
        "earlier version",
        "another share",
        "other evidence",
        "no digest",
        "unknown run",
        "no run",
        "no run named",
        "another person",
        "a proof that was not given",
    ],
)
async def test_an_approval_that_prefect_does_not_know_counts_for_nothing(forged: dict[str, Any]) -> None:
    """Every part of what the tag says must be what Prefect keeps."""
    claim = await answered()

    assert await look(rollout(), claim.model_copy(update=forged)) is None


async def test_with_a_key_an_approval_counts_by_its_signature_alone() -> None:
    """An answer in Prefect's API and a tag at the endpoint are written by whoever may; neither can sign."""
    keys = make_keys()
    claim = (await answered()).model_copy(update={"revision": rollout().revision})
    signed = fitted(sign(claim, keys))

    assert await look(rollout(), claim, keys) is None
    assert await look(rollout(), signed, make_keys()) is None
    assert await look(rollout(share=0), signed, keys) is None
    assert await look(rollout(), signed.model_copy(update={"approver": "Mallory"}), keys) is None
    assert await look(rollout(), signed, keys) == signed


async def test_an_approval_of_what_the_candidate_was_counts_for_nothing() -> None:
    """Somebody writes it to the tags again, genuine as it is; what was approved after the change is of another."""
    keys = make_keys()
    now_of = rollout().model_copy(update={"changes": 1, "made_of": Composition(digest="ba9876543210")})
    claim = (await answered()).model_copy(update={"revision": rollout().revision})
    signed = fitted(sign(claim, keys))

    for digest, counts in ((DIGEST, False), ("ba9876543210", True)):
        decision = claim.model_copy(update={"deployment": digest})
        event = HistoryEvent(
            kind="decision",
            at=now(),
            workspace="w",
            endpoint=now_of.endpoint,
            rollout="r-1",
            flow_run="",
            candidate="green",
            revision="",
            question=f"{KEY}-{digest}",
            decision=decision,
        )
        await history.append(event, keys)
        assert (await look(now_of, signed, keys) is not None) is counts
        assert (await look(now_of, claim) is not None) is counts


async def test_an_answer_that_was_no_counts_for_nothing() -> None:
    """A tag that makes an approval of a rejection is found out."""
    claim = await answered(decision="reject")

    assert await look(rollout(), claim) is None


async def test_a_tag_never_approves_what_was_not_reached() -> None:
    """A rollout writes an approval together with the traffic it is for: before, nobody has written it but a forger."""
    claim = await answered()

    assert await look(rollout(share=0), claim) is None


async def test_a_process_that_is_seen_alive_is_not_gone() -> None:
    """Somebody, or a heartbeat that came late, set the run to Failed: its process goes on all the same."""
    program = (
        "from saferollout.rollout.record import Owner\n"
        "print(Owner.here('', in_process=True).process, flush=True); input()"
    )
    here = Owner.here("run-2", in_process=True)
    async with get_client() as client:
        run = await client.create_flow_run(asks, state=Failed())
    with subprocess.Popen(  # noqa: ASYNC220  # quick to start
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        owner = here.model_copy(update={"process": other.stdout.readline().strip(), "flow_run": str(run.id)})
        assert await _is_gone(owner, here) is False
        other.kill()

    assert await _is_gone(owner, here) is True


async def test_a_process_that_is_not_seen_is_gone_when_prefect_says_so() -> None:
    """On another machine only Prefect knows; a run that this server never heard of is nobody's to take over."""
    here = Owner.here("run-2", in_process=True)
    async with get_client() as client:
        ended = await client.create_flow_run(asks, state=Failed())
        going_on = await client.create_flow_run(asks, state=Running())
    gone = [
        await _is_gone(Owner(name="ann@elsewhere", flow_run=str(flow_run), process="1@1@00000000"), here)
        for flow_run in (ended.id, going_on.id, "00000000-0000-0000-0000-000000000001", "run")
    ]

    assert gone == [True, False, False, False]
