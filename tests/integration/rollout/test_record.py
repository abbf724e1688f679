"""The record on a real endpoint: who may begin, take over, roll back and retire, whatever was cut short before."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from localazure.chaos import Chaos
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config import project
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.endpoint import Baseline
from saferollout.domain.errors import (
    AzureFailed,
    DeploymentFailed,
    Drifted,
    GateFailed,
    Lost,
    Refused,
    SaferolloutError,
)
from saferollout.rollout import begin as planning
from saferollout.rollout import retire, rollback, shift
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Phase, Record, now
from saferollout.rollout.rollout import Rollout
from tasks.approval import changes
from tasks.create import create_candidate
from tasks.scale import scale_live
from tasks.shift import shift_traffic
from tasks.verify import verify_traffic
from tests.support.stack import Endpoint, Stack

ANN = Owner(name="ann@laptop", flow_run="run-1")
BOB = Owner(name="bob@laptop", flow_run="run-2")


def begin(endpoint: Endpoint, owner: Owner = ANN, gone: Owner | None = None) -> Rollout:
    """Begin a rollout on the endpoint."""
    rollout = planning.begin(
        endpoint.workspace(), project.load(endpoint.config()), owner, gone=gone, begun_before=False
    )
    assert rollout is not None
    return rollout


def put(endpoint: Endpoint, phase: Phase, candidate: str = "green", live: str = "blue") -> Record:
    """Put a record on the endpoint as a rollout leaves it in a phase."""
    record = Record(
        rollout="r-1",
        phase=phase,
        owner=ANN,
        since=now().replace(microsecond=0),
        candidate=candidate,
        revision="0" * 12,
        baseline=Baseline(live=live, instance_count=1),
        keep_until=now().replace(microsecond=0),
    )
    endpoint.workspace().update_endpoint(endpoint.name, tags=lambda tags: tags | record.to_tags())
    return record


def record_of(endpoint: Endpoint) -> Record | None:
    """The record that the endpoint has now."""
    return Record.from_tags(endpoint.state().tags)


def test_one_of_two_simultaneous_starts_goes_on(endpoint: Endpoint) -> None:
    """Whoever wrote last owns the endpoint; the other one is refused, at the start or at its first change."""
    config = endpoint.config()

    def start(owner: Owner) -> Rollout | None:
        azure = Workspace(Client(endpoint.workspace_config()))
        try:
            rollout = planning.begin(azure, project.load(config), owner, gone=None, begun_before=False)
            assert rollout is not None
            rollout.own_record(endpoint.state().tags)
        except SaferolloutError:
            return None
        return rollout

    with ThreadPoolExecutor(2) as pool:
        rollouts = [rollout for rollout in pool.map(start, (ANN, BOB)) if rollout]

    record = record_of(endpoint)
    assert record is not None
    going_on = []
    for rollout in rollouts:
        try:
            going_on.append(rollout.own_record(endpoint.state().tags).owner)
        except Lost:
            continue
    assert going_on == [record.owner]


def test_only_the_rollout_of_whoever_is_gone_is_taken_over(endpoint: Endpoint) -> None:
    """Gone is one owner, not whoever wrote a record meanwhile; the run that lost its rollout changes nothing more."""
    first = begin(endpoint)
    with pytest.raises(Refused, match="is unfinished: begun by ann@laptop"):
        begin(endpoint, BOB, gone=Owner(name="eve@laptop", flow_run="run-0"))

    second = begin(endpoint, BOB, gone=ANN)

    assert second.id == first.id
    tags = endpoint.state().tags
    assert second.own_record(tags).owner == BOB
    with pytest.raises(Lost):
        first.own_record(tags)


def test_undo_that_was_cut_short_is_finished_and_nothing_begun(endpoint: Endpoint) -> None:
    """Who retries a run that was being rolled back gets the rollback, not a surprise: a new rollout is a new start."""
    rollout = begin(endpoint)
    workspace = endpoint.workspace()
    workspace.scale_up(endpoint.name, "blue", 2)
    workspace.update_endpoint(endpoint.name, tags=lambda tags: rollout.advanced(tags, phase=Phase.ROLLING_BACK))

    with pytest.raises(Refused, match="was being rolled back; it is rolled back, and a new one may begin"):
        begin(endpoint)

    assert record_of(endpoint) is None
    assert endpoint.state().deployments["blue"].instance_count == 1
    assert begin(endpoint).id != rollout.id


@pytest.mark.xdist_group("retirement")  # others must not retire what is due in the workspace
def test_retirement_that_was_cut_short_is_finished_first(endpoint: Endpoint) -> None:
    """Until the old deployment is gone its name is not free: the next rollout sees to that before it begins."""
    workspace = endpoint.workspace()
    workspace.create_deployment(endpoint.deployment("green-deployment.yml"), endpoint.name, "green", assets={}, tags={})
    put(endpoint, Phase.RETIRING, candidate="blue", live="green")

    rollout = begin(endpoint)

    assert list(endpoint.state().deployments) == ["blue"]
    assert (rollout.live, rollout.candidate) == ("blue", "green")


def test_nothing_with_traffic_is_retired(endpoint: Endpoint) -> None:
    """Somebody moved the users back by hand: the deployment that was to be deleted is the live one again."""
    put(endpoint, Phase.KEEPING)

    with pytest.raises(Refused, match="has traffic again and is not retired"):
        retire.retire(endpoint.workspace(), endpoint.name, at_once=True)

    assert "has traffic again" in retire.retire(endpoint.workspace(), endpoint.name)
    assert list(endpoint.state().deployments) == ["blue"]


@pytest.mark.parametrize(("phase", "live"), [(Phase.ROLLING, "red"), (Phase.RETIRING, "blue")])
def test_no_way_back_to_what_is_gone(endpoint: Endpoint, phase: Phase, live: str) -> None:
    """Traffic is never set to a deployment that no longer exists, or is about to end."""
    record = put(endpoint, phase, live=live)

    with pytest.raises(Refused, match=f"deployment {live} is (gone|being deleted)"):
        rollback.roll_back(endpoint.workspace(), endpoint.name)

    assert record_of(endpoint) == record


def test_mistyped_workspace_is_no_missing_endpoint(endpoint: Endpoint) -> None:
    """Otherwise a typing error would end in "create it"; the workspace that does not exist is named."""
    right = endpoint.workspace_config()
    typo = WorkspaceConfig(subscription_id=right.subscription_id, resource_group=right.resource_group, name="typo")
    wrong = Workspace(Client(typo))

    with pytest.raises(AzureFailed, match="typo"):
        wrong.observe(endpoint.name)
    assert endpoint.workspace().observe(f"no-{endpoint.name}") is None


def test_run_that_lost_its_rollout_changes_nothing(endpoint: Endpoint) -> None:
    """Rolled back or taken over while its steps were still at work, it neither scales, nor creates, nor shifts."""
    rollout = begin(endpoint)
    rollback.roll_back(endpoint.workspace(), endpoint.name)
    stage = rollout.project.config.stages[0]

    for step in (
        scale_live.fn(rollout),
        create_candidate.fn(rollout),
        verify_traffic.fn(rollout),
        changes.fn(rollout, stage, "?"),
        shift_traffic.fn(rollout, stage, None),
    ):
        with pytest.raises(Lost):
            asyncio.run(step)

    state = endpoint.state()
    assert list(state.deployments) == ["blue"]
    assert state.deployments["blue"].instance_count == 1


def test_another_candidate_than_the_tested_one_gets_no_traffic(endpoint: Endpoint) -> None:
    """Somebody deployed something else under the candidate's name after the smoke test: users never see it."""
    rollout = begin(endpoint)
    workspace = endpoint.workspace()
    path = endpoint.deployment("green-deployment.yml")
    workspace.create_deployment(path, endpoint.name, "green", assets={}, tags={})

    with pytest.raises(GateFailed, match="deployment green is no longer the one that this rollout made"):
        asyncio.run(shift_traffic.fn(rollout, rollout.project.config.stages[0], None))

    assert endpoint.state().traffic == {"blue": 100}


def test_rollback_insists_where_azure_fails(endpoint: Endpoint, stack: Stack) -> None:
    """An operation that Azure itself could not finish, and an answer that got lost, are tried again till it is done."""
    begin(endpoint)
    endpoint.workspace().scale_up(endpoint.name, "blue", 2)
    path = f"onlineEndpoints/{endpoint.name}"
    with (
        closing(Chaos(stack.env)) as chaos,
        chaos.fail(method="PUT", path=path) as failed,
        chaos.fail(method="PATCH", path=f"{path}/deployments/blue") as not_scaled,
        chaos.answer(500, method="PUT", path=path, skip=2, times=4, after=True) as lost,
    ):
        record = rollback.roll_back(endpoint.workspace(), endpoint.name)
        assert (failed.hits, not_scaled.hits) == (1, 1)
        assert lost.hits > 0

    assert record.baseline == Baseline(live="blue", instance_count=1)
    assert record_of(endpoint) is None
    assert endpoint.state().deployments["blue"].instance_count == 1


def test_a_stage_that_this_rollout_has_not_reached_is_drift(endpoint: Endpoint) -> None:
    """A tag that says 100% moves nobody and lets no shift be skipped."""
    rollout = begin(endpoint)
    endpoint.workspace().update_endpoint(endpoint.name, tags=lambda tags: rollout.advanced(tags, share=100))

    with pytest.raises(Drifted, match="say that the rollout has reached 100%: somebody else changed them"):
        asyncio.run(shift_traffic.fn(rollout, rollout.project.config.stages[0], None))

    assert endpoint.state().traffic == {"blue": 100}


def test_a_log_that_cannot_be_read_hides_no_failure(endpoint: Endpoint, stack: Stack) -> None:
    """The connection for the log breaks, too: what is reported is why the deployment did not come up."""
    path = endpoint.deployment("green-deployment.yml")
    green = f"onlineEndpoints/{endpoint.name}/deployments/green"
    with (
        closing(Chaos(stack.env)) as chaos,
        chaos.fail(method="PUT", path=green),
        chaos.reset(method="POST", path=f"{green}/getLogs", times=None) as broken,
    ):
        with pytest.raises(DeploymentFailed, match="deployment green did not come up"):
            endpoint.workspace().create_deployment(path, endpoint.name, "green", assets={}, tags={})
        assert broken.hits > 0


def test_the_end_is_put_on_record_although_the_answer_got_lost(endpoint: Endpoint, stack: Stack) -> None:
    """What was written in spite of four answers of 500 is recognised as one's own, and no lost rollout."""
    rollout = begin(endpoint)
    for step in (scale_live.fn(rollout), create_candidate.fn(rollout)):
        asyncio.run(step)
    shift.shift_traffic(endpoint.workspace(), rollout, 100, None)
    path = f"onlineEndpoints/{endpoint.name}"
    with (
        closing(Chaos(stack.env)) as chaos,
        chaos.answer(500, after=True, times=4, method="PUT", path=path) as lost,
    ):
        retire.end(endpoint.workspace(), rollout, 3600)
        assert lost.hits == 4

    record = record_of(endpoint)
    assert record is not None
    assert (record.rollout, record.phase) == (rollout.id, Phase.KEEPING)
