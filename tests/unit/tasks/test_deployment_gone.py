"""A deployment that somebody deletes while a person is asked."""

from collections import defaultdict

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import StageConfig
from saferollout.domain.errors import GateFailed, Refused
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.shift import shift_traffic
from tasks.approval import changes
from tasks.judge import judge_gate
from tests.support.twin import NAME, OWNERS, edit, make_endpoint, make_project

STAGE = StageConfig(traffic=100)
EARLIER = Evidence(gate="judge at 10%", verdict=GateVerdict.HEALTHY, summary="healthy")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """An endpoint with blue at 100%, which every step finds."""
    memory = make_endpoint()
    monkeypatch.setattr("tasks.support.access._idle", defaultdict(lambda: [Workspace(memory)]))
    return memory


@pytest.fixture
def rollout(memory: Memory) -> Rollout:
    """A rollout whose candidate has all traffic."""
    azure = Workspace(memory)
    rollout = begin(azure, make_project(), OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 100, None)
    return rollout


async def test_the_old_deployment_gone_is_a_failed_gate(memory: Memory, rollout: Rollout) -> None:
    """Before a question, and when the candidate is judged after it, it is said who is gone."""
    memory.delete_deployment(NAME, "blue")

    with pytest.raises(GateFailed, match="deployment blue is gone: somebody else deleted it"):
        await changes.fn(rollout, STAGE, "Keep green?")
    with pytest.raises(GateFailed, match="deployment blue is gone: somebody else deleted it"):
        await judge_gate(rollout, STAGE.judge, "judge at 100%", "judge-100", EARLIER)


async def test_the_candidate_gone_is_a_failed_gate(memory: Memory, rollout: Rollout) -> None:
    """Somebody gave the old deployment the traffic first."""
    edit(memory, traffic={"blue": 100})
    memory.delete_deployment(NAME, "green")

    with pytest.raises(GateFailed, match="deployment green is gone"):
        await judge_gate(rollout, STAGE.judge, "judge at 100%", "judge-100", EARLIER)


def test_a_deployment_that_goes_while_it_is_scaled_is_not_waited_for(memory: Memory) -> None:
    """A minute, or an hour, would not bring it back."""
    memory.changed = lambda: delete_blue(memory)

    with pytest.raises(Refused, match="deployment blue of shop is gone: somebody else deleted it"):
        Workspace(memory).scale_up(NAME, "blue", 2)


def delete_blue(memory: Memory) -> None:
    """Delete blue behind the rollout's back."""
    memory.changed = lambda: None
    edit(memory, traffic={})
    memory.delete_deployment(NAME, "blue")


def test_traffic_of_a_deployment_that_is_gone_begins_no_rollout(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is read before its deployments: one may go in between."""
    azure = Workspace(memory)
    shown = memory.read_endpoint(NAME)
    assert shown is not None
    edit(memory, traffic={})
    memory.delete_deployment(NAME, "blue")
    monkeypatch.setattr(memory, "read_endpoint", lambda _: shown)  # as it was a moment before

    with pytest.raises(Refused, match="deployment blue has all traffic of shop and is gone"):
        begin(azure, make_project(), OWNERS["ann"], gone=None, begun_before=False)
