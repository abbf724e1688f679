"""What somebody else changes is asked about, at a real Prefect server, on Azure's twin."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.context import FlowRunContext

from flows.steps import Steps
from saferollout.azure.memory import Memory
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Drifted, LeftAsIs
from saferollout.rollout.rollout import Rollout
from saferollout_cli.approvals import answer
from tasks.approval import note_open
from tasks.drift import put_back
from tasks.verify import verify_traffic
from tests.support.run_steps import NO, YES, at_ten, going, running, until_asked
from tests.support.twin import NAME, deploy, edit, look, traffic_of

Change = Callable[[Memory], None]
Verify = Callable[..., Awaitable["Verifying"]]


class Verifying:
    """A run whose one step verifies an endpoint that somebody has changed."""

    def __init__(self, rollout: Rollout) -> None:
        self.decisions: list[Decision] = []
        self.id = UUID(rollout.flow_run)
        self.step = asyncio.create_task(Steps(rollout, self.decisions, []).step(verify_traffic.fn, rollout))


@pytest.fixture
def verify(memory: Memory, client: PrefectClient, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Begin such a run."""
    monkeypatch.setattr("tasks.drift.put_back", put_back.fn)  # tasks leave connections open in this process
    monkeypatch.setattr("tasks.approval.note_open", note_open.fn)

    async def begin(change: Change, **settings: Any) -> Verifying:
        run = await running(client, monkeypatch)
        rollout = at_ten(memory, run.id, **settings)
        change(memory)
        with FlowRunContext.model_construct(flow_run=run, flow=going, client=client):  # type: ignore[call-arg]  # enough of it
            return Verifying(rollout)

    return begin


def take_all(memory: Memory) -> None:
    """Give the candidate all traffic, as somebody else might."""
    edit(memory, traffic={"green": 100})


async def test_what_somebody_changed_is_put_back_when_a_person_says_so(
    memory: Memory, client: PrefectClient, verify: Verify
) -> None:
    """The question says what it was and what it is; a change in the very moment it is put back is another question."""
    run = await verify(take_all)
    question = await until_asked(client, run.id)
    assert question.title == (
        "the traffic of shop is green=100, but the rollout left it at blue=90 green=10: somebody else changed it. "
        "Put it back to blue=90 green=10 and go on?"
    )
    assert "Reject leaves the endpoint as it is" in question.text
    memory.changed = lambda: again(memory)
    await answer(run.id, YES)
    following = await until_asked(client, run.id, question)
    assert traffic_of(look(memory)) == {"blue": 50, "green": 50}

    await answer(run.id, YES)
    await run.step

    assert following.evidence != question.evidence
    assert traffic_of(look(memory)) == {"blue": 90, "green": 10}
    assert [decision.approver for decision in run.decisions] == ["Ann", "Ann"]


def again(memory: Memory) -> None:
    """Change the traffic once more, as soon as it has been put back."""
    if traffic_of(look(memory)) == {"blue": 90, "green": 10}:
        memory.changed = lambda: None
        edit(memory, traffic={"blue": 50, "green": 50})


async def test_what_somebody_changed_stays_when_a_person_says_so(
    memory: Memory, client: PrefectClient, verify: Verify
) -> None:
    """The run ends with what to do, and nothing was touched."""
    run = await verify(take_all)
    await until_asked(client, run.id)
    before = look(memory)

    await answer(run.id, NO)

    with pytest.raises(
        LeftAsIs, match=r"left as it is, Ann said so: put it right and go on with `saferollout retry shop`"
    ):
        await run.step
    assert look(memory) == before


async def test_nobody_answers(memory: Memory, verify: Verify) -> None:
    """As a no."""
    stages = [{"traffic": 10, "approval_timeout_s": 1}, {"traffic": 100, "approval_timeout_s": 1}]
    run = await verify(take_all, stages=stages)

    with pytest.raises(LeftAsIs, match="left as it is, nobody answered in time"):
        await run.step
    assert traffic_of(look(memory)) == {"green": 100}


async def test_what_cannot_be_put_back_is_rolled_back_when_a_person_says_so(
    client: PrefectClient, verify: Verify
) -> None:
    """The candidate is another one by now: the flow gets a failure that leads to a rollback."""
    run = await verify(lambda memory: deploy(memory, "green", 7))
    question = await until_asked(client, run.id)
    assert question.title.endswith("It cannot be put back. Roll back?")

    await answer(run.id, YES)

    with pytest.raises(Drifted, match="green is no longer the one that this rollout made") as caught:
        await run.step
    assert not isinstance(caught.value, LeftAsIs)


def delete_live(memory: Memory) -> None:
    """Delete blue, as somebody else might."""
    take_all(memory)
    memory.delete_deployment(NAME, "blue")


@pytest.mark.parametrize(
    ("change", "on_drift", "is_left"), [(take_all, "rollback", False), (delete_live, "stop", True)]
)
async def test_nobody_is_asked_what_is_known(verify: Verify, change: Change, on_drift: str, is_left: bool) -> None:
    """Where the config says to roll back, and where there is nothing to go back to."""
    run = await verify(change, on_drift=on_drift)

    with pytest.raises(Drifted) as caught:
        await run.step
    assert isinstance(caught.value, LeftAsIs) is is_left
