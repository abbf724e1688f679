"""The rollout's own client of Azure: a refused token, another operation under way, and one that never ends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from localazure.chaos import Chaos
from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.domain.endpoint import Baseline
from saferollout.domain.errors import AzureFailed, Busy
from saferollout.gates.sources.azure_metrics import AzureMetrics
from saferollout.gates.sources.counts import Ledger
from saferollout.gates.sources.following import Following
from saferollout.gates.sources.windows import Stretches
from saferollout.rollout.record import Owner, Record, now
from saferollout.rollout.rollback import restore
from tasks.support.access import scorer_of
from tests.support.localazure.arm import Arm, Assets

NAME = "troubled"
ENDPOINT = f"onlineEndpoints/{NAME}"
BLUE, GREEN = f"{ENDPOINT}/deployments/blue", f"{ENDPOINT}/deployments/green"
OPERATION = "/**/mfeOperation*/*"


def create(workspace: Workspace, project: Path) -> None:
    """A deployment that is not there."""
    workspace.create_deployment(project / "green-deployment.yml", NAME, "green", assets={}, tags={"by": "test"})


def mark(workspace: Workspace, _: Path) -> None:
    """Change the endpoint's tags."""
    workspace.update_endpoint(NAME, tags=lambda tags: tags | {"number": str(int(tags.get("number", "0")) + 1)})


def scale(workspace: Workspace, _: Path) -> None:
    """From one instance to two, or back."""
    count = workspace.existing(NAME).deployments["blue"].instance_count
    workspace.scale_back(NAME, "blue", 3 - count, instead_of=count)


def delete(workspace: Workspace, _: Path) -> None:
    """The deployment that `create` made."""
    workspace.delete_deployment(NAME, "green")


CHANGES: list[tuple[Callable[[Workspace, Path], None], str, str, str]] = [
    (create, "PUT", GREEN, "creation of deployment green"),
    (mark, "PUT", ENDPOINT, "update of endpoint troubled"),
    (scale, "PATCH", BLUE, "scaling of deployment blue"),
    (delete, "DELETE", GREEN, "deletion of deployment green"),
]
"""What changes an existing endpoint, in an order in which it can be done: how, by which request, and its name."""


@pytest.fixture(scope="module")
def endpoint(arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint with two deployments for all tests."""
    arm.endpoint(NAME)
    for name in ("blue", "red"):
        arm.deploy(NAME, name, assets)
    arm.endpoint(NAME, traffic={"blue": 100})
    yield NAME
    arm.run("DELETE", ENDPOINT)


@pytest.fixture
def chaos(azure: LocalAzure, arm: Arm, endpoint: str) -> Iterator[Chaos]:  # noqa: ARG001 - it is there
    """No fault, no expired token and no third deployment is left behind."""
    yield azure.chaos
    azure.chaos.clear()
    arm.http.headers["Authorization"] = f"Bearer {arm.token()}"
    arm.run("DELETE", GREEN)


@pytest.fixture
def workspace() -> Workspace:
    """One that has signed in."""
    found = Workspace(Client(resolve_workspace(None)))
    found.endpoints()
    return found


def hurried() -> Workspace:
    """One that waits two seconds for an operation."""
    return Workspace(Client(resolve_workspace(None).model_copy(update={"operation_timeout_s": 2})))


def test_a_token_that_is_refused_early_is_replaced(chaos: Chaos, workspace: Workspace, project: Path) -> None:
    """By whatever is called next; one that is refused while an operation goes on has nothing begun a second time."""
    for look in (
        lambda: workspace.existing(NAME),
        workspace.endpoints,
        lambda: workspace.secret(NAME),
        lambda: workspace.resolve({"model": "azureml:scale-model@latest"}),
    ):
        chaos.expire_tokens()
        look()
    for change, method, path, name in CHANGES:
        chaos.expire_tokens()
        with (
            chaos.answer(401, code="ExpiredAuthenticationToken", method="GET", path=OPERATION) as refused,
            chaos.delay(0, method=method, path=path, times=None) as sent,
        ):
            change(workspace, project)
            assert (name, refused.hits, sent.hits) == (name, 1, 1)


def test_refused_for_good(chaos: Chaos, workspace: Workspace) -> None:
    """It ends soon, as a failure of Azure; the same connection works when tokens are accepted again."""
    with chaos.answer(401, code="AuthenticationFailed", path="onlineEndpoints**", times=None) as refused:
        with pytest.raises(AzureFailed, match="could not read endpoint troubled: Azure did not accept") as caught:
            workspace.existing(NAME)
        assert (caught.value.status, refused.hits) == (401, 3)

    assert workspace.existing(NAME).name == NAME


@pytest.mark.parametrize("after", [False, True], ids=["refused", "applied"])
def test_another_operation_is_waited_for(chaos: Chaos, workspace: Workspace, project: Path, after: bool) -> None:
    """409 right after *Succeeded* ends nothing; what took effect in spite of that answer is not done a second time."""
    for change, method, path, name in CHANGES:
        with (
            chaos.delay(0, method=method, path=path, times=None) as sent,
            chaos.answer(409, code="Conflict", method=method, path=path, after=after, times=1 if after else 2) as busy,
        ):
            change(workspace, project)
            assert (name, busy.hits, sent.hits) == ((name, 1, 1) if after else (name, 2, 3))


def test_tags_that_were_written_are_not_changed_from_again(chaos: Chaos, workspace: Workspace) -> None:
    """A record that only its first state may be changed from is not lost when the answer to the change was."""

    def advanced(tags: dict[str, str]) -> dict[str, str]:
        assert tags.get("phase") == "rolling"
        return tags | {"phase": "keeping"}

    workspace.update_endpoint(NAME, tags=lambda tags: tags | {"phase": "rolling"})
    with chaos.answer(409, code="Conflict", method="PUT", path=ENDPOINT, after=True) as lost:
        workspace.update_endpoint(NAME, tags=advanced)
        assert lost.hits == 1

    assert workspace.existing(NAME).tags["phase"] == "keeping"


def test_busy_without_end(chaos: Chaos, project: Path) -> None:
    """Another operation is waited for as long as one of our own."""
    with (
        chaos.answer(409, code="Conflict", method="PUT", path=ENDPOINT, times=None),
        pytest.raises(Busy, match="could not update endpoint troubled: Conflict"),
    ):
        mark(hurried(), project)


def test_a_conflict_of_an_asset_is_not_waited_for(chaos: Chaos, workspace: Workspace, project: Path) -> None:
    """A model's version that exists with other files will exist tomorrow."""
    with (
        chaos.answer(409, code="Conflict", method="PUT", path="environments/**", times=None),
        pytest.raises(AzureFailed, match="could not create deployment green: Conflict") as caught,
    ):
        create(workspace, project)
    assert not isinstance(caught.value, Busy)


@pytest.mark.parametrize("retry_after_s", [None, 1])
def test_throttled(chaos: Chaos, workspace: Workspace, project: Path, retry_after_s: int | None) -> None:
    """429 is got over by the request itself or, where it may not be sent again, is worth another try of the step."""
    where = {"code": "TooManyRequests", "retry_after_s": retry_after_s}
    with (
        chaos.answer(429, method="PUT", path=ENDPOINT, times=2, **where) as put,
        chaos.answer(429, method="PATCH", path=BLUE, **where) as patch,
    ):
        mark(workspace, project)
        if retry_after_s is None:
            with pytest.raises(AzureFailed, match="could not scale deployment blue: TooManyRequests") as caught:
                scale(workspace, project)
            assert caught.value.retryable
        scale(workspace, project)
        assert (put.hits, patch.hits) == (2, 1)


def test_an_operation_that_never_ends_has_a_deadline(chaos: Chaos, workspace: Workspace, project: Path) -> None:
    """The failure says which one, how long it was waited for, and what to do."""
    for change, method, path, name in CHANGES:
        with chaos.hang(method=method, path=path) as hanging:
            told = rf"the {name} has not ended after 2 s; .*raise workspace\.operation_timeout_s"
            with pytest.raises(AzureFailed, match=told):
                change(hurried(), project)
            assert hanging.hits == 1
        if change is mark:
            workspace.update_endpoint(NAME, tags=dict)  # it ends: what comes next needs the endpoint
        elif change is create:
            create(workspace, project)


def test_an_operation_of_somebody_else_that_never_ends(chaos: Chaos, arm: Arm, project: Path) -> None:
    """It is waited for as long as an own one."""
    with chaos.hang(method="PUT", path=ENDPOINT) as hanging:
        arm.call("PUT", ENDPOINT, arm.get(ENDPOINT))
        hanging.wait()
        with pytest.raises(AzureFailed, match="does not show a final state of endpoint troubled after 2 s; look"):
            mark(hurried(), project)


def begun(workspace: Workspace) -> None:
    """What a rollout leaves that gave its candidate a share and died."""
    record = Record(
        rollout="r-1", owner=Owner(name="ann@laptop", flow_run="run-1"), since=now().replace(microsecond=0),
        candidate="red", revision="0" * 12, baseline=Baseline(live="blue", instance_count=1), stage=10, raised_to=2,
    )  # fmt: skip
    workspace.update_endpoint(NAME, traffic={"blue": 90, "red": 10}, tags=lambda tags: tags | record.to_tags())
    workspace.scale_up(NAME, "blue", 2)


def test_the_way_back_gets_over_refused_tokens_and_other_operations(chaos: Chaos, workspace: Workspace) -> None:
    """All tokens refused when it begins, one in the middle of an operation, and 409 wherever it changes something."""
    begun(workspace)
    chaos.expire_tokens()
    faults = [
        chaos.answer(401, code="ExpiredAuthenticationToken", method="GET", path=OPERATION),
        chaos.answer(409, code="Conflict", method="PUT", path=ENDPOINT, times=2),
        chaos.answer(409, code="Conflict", method="PATCH", path=BLUE, times=2),
    ]
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault)

        restore(workspace, NAME)

        assert [fault.hits for fault in faults] == [1, 2, 2]
    state = workspace.existing(NAME)
    assert (state.traffic, state.deployments["blue"].instance_count) == ({"blue": 100}, 1)
    assert Record.from_tags(state.tags) is None


def test_the_way_back_has_a_deadline_too(chaos: Chaos, workspace: Workspace) -> None:
    """The users are back by then; whoever comes later finds the record and can go on."""
    begun(workspace)
    with (
        chaos.hang(method="PATCH", path=BLUE),
        pytest.raises(AzureFailed, match="the scaling of deployment blue has not ended after 2 s"),
    ):
        restore(hurried(), NAME)
    assert workspace.existing(NAME).traffic == {"blue": 100}

    restore(workspace, NAME)

    assert workspace.existing(NAME).deployments["blue"].instance_count == 1


async def test_a_key_that_is_changed_meanwhile_is_fetched_anew(chaos: Chaos) -> None:
    """No request fails for it, and however many meet the old key, the new one is fetched once."""
    async with await scorer_of(resolve_workspace(None), NAME) as scorer:
        assert (await scorer.score({"x": 1}, deployment="red")).ok
        chaos.rotate_key(NAME)
        with chaos.delay(0, method="POST", path=f"{ENDPOINT}/listKeys", times=None) as fetched:
            for _ in range(3):
                assert (await scorer.score({"x": 1}, deployment="red")).ok
            assert fetched.hits == 1
        assert (await scorer.score({"x": 1})).ok


async def test_a_key_that_cannot_be_fetched_is_no_exception(chaos: Chaos) -> None:
    """The answer is the endpoint's 401, with the reason why there is no other key."""
    async with await scorer_of(resolve_workspace(None), NAME) as scorer:
        chaos.rotate_key(NAME)
        with chaos.answer(403, code="AuthorizationFailed", method="POST", path=f"{ENDPOINT}/listKeys"):
            answer = await scorer.score({"x": 1}, deployment="red")
    assert answer.status == 401
    assert "could not get a key of endpoint troubled: AuthorizationFailed" in answer.error


def test_a_token_that_the_endpoint_refuses_is_not_given_again(arm: Arm, workspace: Workspace) -> None:
    """Where the endpoint takes Microsoft Entra's tokens, which a credential keeps."""
    arm.endpoint("entra", authMode="AADToken")
    first = workspace.secret("entra")
    assert workspace.secret("entra") == first
    assert workspace.secret("entra", is_refused=True) != first
    arm.run("DELETE", "onlineEndpoints/entra")


async def test_a_source_whose_token_is_refused_is_read_anew(chaos: Chaos, workspace: Workspace) -> None:
    """It signs in anew and goes on reporting: no trouble is left."""
    begun_at = now() - timedelta(minutes=1)
    async with await scorer_of(resolve_workspace(None), NAME) as scorer:
        for _ in range(3):
            assert (await scorer.score({"x": 1}, deployment="red")).ok
    moments = iter([begun_at])

    def clock() -> datetime:
        return next(moments, begun_at + timedelta(hours=1))

    source = AzureMetrics(
        workspace.existing(NAME), Stretches(60, 0, clock=clock), Ledger(), candidate="red", live="blue"
    )
    with chaos.answer(401, code="ExpiredAuthenticationToken", path="/**/metrics:getBatch") as refused:
        async with Following([source], (0.1,)) as following:
            while not following.heard["azure_metrics"]:
                assert not following.over, following.troubles
                await following.next(0.5)
        assert refused.hits == 1
    assert not following.troubles
