"""The port's contract: Azure's client, over a real socket to local Azure, and its twin in memory do the same."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.memory import Failure, Memory
from saferollout.azure.port import Azure, Resource
from saferollout.config.project import resolve_workspace
from saferollout.domain.errors import AzureFailed, Busy, GateFailed
from saferollout.domain.registered_model import RegisteredModel
from tests.support.localazure.arm import Arm, Assets, lasting
from tests.support.localazure.trouble import NAME, OfLocalAzure, OfMemory, Trouble
from tests.support.twin import SIZE

MODEL = "azureml:scale-model@latest"
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def on_local_azure(arm: Arm, assets: Assets) -> Iterator[None]:
    """An endpoint with two deployments, and all traffic on one."""
    arm.endpoint(NAME)
    for name in ("blue", "green"):
        arm.deploy(NAME, name, assets)
    yield
    arm.run("DELETE", f"onlineEndpoints/{NAME}")


@pytest.fixture(params=["client", "memory"])
def both(request: pytest.FixtureRequest, azure: LocalAzure, arm: Arm, project: Path) -> tuple[Azure, Trouble]:
    """Either port, with an endpoint `contract` whose deployments are blue with all traffic, and green."""
    if request.param == "client":
        request.getfixturevalue("on_local_azure")
        client = Client(resolve_workspace(None))
        set_up(client)
        return client, OfLocalAzure(azure, arm)
    memory = Memory()
    memory.versions[MODEL] = "2"
    memory.vm_sizes = [SIZE]
    wanted = memory.load_endpoint(project / "endpoint.yml")
    wanted.name, wanted.traffic = NAME, {}
    memory.create_endpoint(wanted)
    for name in ("blue", "green"):
        create(memory, project, name)
    set_up(memory)
    return memory, OfMemory(memory)


@pytest.fixture
def port(both: tuple[Azure, Trouble]) -> Azure:
    """Either port."""
    return both[0]


@pytest.fixture
def trouble(both: tuple[Azure, Trouble]) -> Trouble:
    """What can be done to the port's workspace from outside."""
    return both[1]


def set_up(port: Azure) -> None:
    """Let the endpoint be as every test finds it."""
    change(port, traffic={"blue": 100}, mirrorTraffic={}, tags={})
    for name in ("blue", "green"):
        port.scale_deployment(NAME, name, 1)
    port.delete_deployment(NAME, "red")


def create(port: Azure, project: Path, name: str, tags: dict[str, str] | None = None) -> None:
    """Create a deployment of the test project."""
    wanted = port.load_deployment(project / "green-deployment.yml", name=name, endpoint=NAME, assets={})
    wanted.tags = tags or {}
    port.create_deployment(wanted, lambda: None)


def change(port: Azure, *, tags: dict[str, str] | None = None, **properties: Any) -> None:
    """Put the endpoint as it is read, but for this."""
    found = read(port)
    changed = found | {"properties": found["properties"] | properties} | ({} if tags is None else {"tags": tags})
    port.put_endpoint(NAME, changed)


def read(port: Azure, endpoint: str = NAME) -> Resource:
    """The endpoint."""
    found = port.read_endpoint(endpoint)
    assert found is not None
    return found


def deployments(port: Azure) -> dict[str, Resource]:
    """The endpoint's deployments by name."""
    found = port.list_deployments(NAME)
    assert found is not None
    return {deployment["name"]: deployment for deployment in found}


def shares(port: Azure, key: str = "traffic") -> dict[str, int]:
    """The endpoint's traffic, without zeros."""
    return {name: share for name, share in read(port)["properties"][key].items() if share}


def state(resource: Resource) -> str:
    """The resource's provisioning state."""
    return str(resource["properties"]["provisioningState"])


def test_what_is_not_there_is_none(port: Azure) -> None:
    """No exception: to ask is how the rollout finds out. To delete it again is nothing, to change it is refused."""
    assert port.read_endpoint("nowhere") is None
    assert port.list_deployments("nowhere") is None
    assert [port.read_endpoint(path) for path in (f"{NAME}?x=", f"{NAME}#")] == [None] * 2
    port.delete_endpoint("nowhere")
    port.delete_deployment(NAME, "red")
    for call in (lambda: port.scale_deployment(NAME, "red", 2), lambda: port.secret("nowhere")):
        with pytest.raises(AzureFailed) as caught:
            call()
        assert caught.value.status == 404


def listed(port: Azure) -> dict[str, dict[str, str]]:
    """The tags of all endpoints, which one call shows."""
    return {str(endpoint["name"]): endpoint.get("tags") or {} for endpoint in port.list_endpoints()}


def test_an_endpoint_comes_and_goes(port: Azure, project: Path) -> None:
    """As its YAML says, but for the traffic; deleted with all that it has."""
    (file := project / "endpoint.yml").write_text("name: comes-and-goes\nauth_mode: key\ntags: {team: shop}\n")
    wanted = port.load_endpoint(file)
    wanted.traffic = {}
    before = listed(port)  # other tests may have left theirs

    port.create_endpoint(wanted)

    assert listed(port) == {**before, "comes-and-goes": {"team": "shop"}}
    found = read(port, "comes-and-goes")
    assert (state(found), found["properties"]["traffic"]) == ("Succeeded", {})
    assert port.list_deployments("comes-and-goes") == []
    assert port.secret("comes-and-goes")
    port.delete_endpoint("comes-and-goes")
    assert listed(port) == before


def test_what_is_put_is_read(port: Azure) -> None:
    """Traffic, mirrored traffic and tags, in one change or each alone; all else stays."""
    before = lasting(read(port)["properties"] | {"description": "kept"})
    change(port, description="kept", traffic={"blue": 90, "green": 10}, tags={"team": "shop"})
    assert (shares(port), read(port)["tags"]) == ({"blue": 90, "green": 10}, {"team": "shop"})
    change(port, traffic={"blue": 100})
    change(port, mirrorTraffic={"green": 50})
    assert (shares(port), shares(port, "mirrorTraffic")) == ({"blue": 100}, {"green": 50})
    assert read(port)["tags"] == {"team": "shop"}
    change(port, mirrorTraffic={})
    assert lasting(read(port)["properties"]) == before
    change(port, traffic={})
    assert shares(port) == {}


@pytest.mark.parametrize(
    "properties",
    [
        {"traffic": {"blue": 99}},
        {"traffic": {"blue": 100, "green": 1}},
        {"traffic": {"blue": -10, "green": 110}},
        {"traffic": {"red": 100}},
        {"mirrorTraffic": {"green": 51}},
        {"mirrorTraffic": {"blue": 10}},
        {"mirrorTraffic": {"red": 10}},
        {"traffic": {}, "mirrorTraffic": {"blue": 10, "green": 10}},
    ],
    ids=str,
)
def test_traffic_that_cannot_be_is_refused(port: Azure, properties: dict[str, Any]) -> None:
    """It sums to 0 or 100 over deployments that exist; one of those without live traffic gets copies of half at most.

    Nothing is changed.
    """
    with pytest.raises(AzureFailed) as caught:
        change(port, **properties)
    assert (caught.value.status, caught.value.retryable) == (400, False)
    assert (shares(port), shares(port, "mirrorTraffic"), state(read(port))) == ({"blue": 100}, {}, "Succeeded")


@pytest.mark.parametrize(
    "tags", [{str(number): "" for number in range(51)}, {"a": "x" * 257}], ids=["too many", "too long"]
)
def test_tags_that_cannot_be_are_refused(port: Azure, tags: dict[str, str]) -> None:
    """50 tags with values of 256 characters fit, no more."""
    change(port, tags={str(number): "x" * 256 for number in range(50)})
    with pytest.raises(AzureFailed) as caught:
        change(port, tags=tags)
    assert caught.value.status == 400
    assert len(read(port)["tags"]) == 50


def test_a_deployment_is_scaled(port: Azure) -> None:
    """All else about it stays; not to nothing, nor beyond the limit."""
    before = deployments(port)
    port.scale_deployment(NAME, "green", 2)
    after = deployments(port)
    assert after["green"]["sku"]["capacity"] == 2
    assert lasting(after["green"]["properties"]) == lasting(before["green"]["properties"])
    assert after["green"]["tags"] == before["green"]["tags"]
    assert after["blue"] == before["blue"]
    for count in (0, 51):
        with pytest.raises(AzureFailed) as caught:
            port.scale_deployment(NAME, "green", count)
        assert caught.value.status == 400
    assert deployments(port)["green"]["sku"]["capacity"] == 2


def test_what_has_traffic_is_not_deleted(port: Azure) -> None:
    """Live or mirrored."""
    change(port, mirrorTraffic={"green": 10})
    for name in ("blue", "green"):
        with pytest.raises(AzureFailed) as caught:
            port.delete_deployment(NAME, name)
        assert caught.value.status == 400
    states = {name: state(found) for name, found in deployments(port).items()}
    assert states == {"blue": "Succeeded", "green": "Succeeded"}


def test_a_deployment_comes_and_goes(port: Azure, project: Path) -> None:
    """With its tags, and without traffic."""
    create(port, project, "red", {"saferollout.rollout": "r-1"})
    red = deployments(port)["red"]
    assert (state(red), red["tags"], red["sku"]["capacity"]) == ("Succeeded", {"saferollout.rollout": "r-1"}, 1)
    assert shares(port) == {"blue": 100}
    assert port.last_words(NAME, "red")
    port.delete_deployment(NAME, "red")
    assert set(deployments(port)) == {"blue", "green"}
    assert port.last_words(NAME, "red") == ""


def test_who_finds_that_the_files_changed_waits_for_nothing(port: Azure, project: Path) -> None:
    """What `uploaded` raises is raised; the deployment is on its way by then, as the files are uploaded."""
    wanted = port.load_deployment(project / "green-deployment.yml", name="red", endpoint=NAME, assets={})

    def uploaded() -> None:
        msg = "the files changed"
        raise GateFailed(msg)

    with pytest.raises(GateFailed, match="the files changed"):
        port.create_deployment(wanted, uploaded)
    assert "red" in deployments(port)
    while state(deployments(port)["red"]) == "Creating":
        pass


def test_one_change_at_a_time(port: Azure, trouble: Trouble) -> None:
    """While somebody else changes the endpoint or a deployment, that is Busy; its state is not final, its rest free."""
    with trouble.hold(""):
        with pytest.raises(Busy):
            change(port, tags={"team": "shop"})
        port.scale_deployment(NAME, "green", 2)
        assert state(deployments(port)["green"]) == "Succeeded"
    with trouble.hold("green"):
        assert state(deployments(port)["green"]) == "Updating"
        with pytest.raises(Busy):
            port.scale_deployment(NAME, "green", 1)
        with pytest.raises(Busy):
            port.delete_deployment(NAME, "green")
        change(port, tags={"team": "shop"})
    assert read(port)["tags"] == {"team": "shop"}


@pytest.mark.parametrize("failure", ["before", "after"])
def test_an_operation_may_fail(port: Azure, trouble: Trouble, failure: Failure) -> None:
    """With or without its effect; Azure shows it, and takes the next one."""
    with trouble.fail(failure), pytest.raises(AzureFailed) as caught:
        change(port, traffic={"green": 100})
    assert not caught.value.retryable
    assert state(read(port)) == "Failed"
    assert shares(port) == ({"green": 100} if failure == "after" else {"blue": 100})
    with trouble.fail(failure), pytest.raises(AzureFailed):
        port.scale_deployment(NAME, "green", 2)
    assert state(deployments(port)["green"]) == "Failed"
    change(port, traffic={"green": 100})
    port.scale_deployment(NAME, "green", 2)
    assert (state(read(port)), state(deployments(port)["green"])) == ("Succeeded", "Succeeded")


def test_whom_an_autoscale_setting_scales(port: Azure, trouble: Trouble) -> None:
    """Only an enabled one counts, and only for its endpoint's deployment."""
    assert port.read_autoscaled(NAME) == set()
    trouble.autoscale("blue", enabled=True)
    trouble.autoscale("green", enabled=False)
    assert (port.read_autoscaled(NAME), port.read_autoscaled(NAME[:-1])) == ({"blue"}, set())
    trouble.autoscale("blue", enabled=False)
    assert port.read_autoscaled(NAME) == set()


def test_what_never_came_up_gets_no_traffic(port: Azure, trouble: Trouble, project: Path) -> None:
    """Its creation failed before any instance of it was ready; it is there, and can be deleted."""
    with trouble.fail("before"), pytest.raises(AzureFailed):
        create(port, project, "red")
    assert state(deployments(port)["red"]) == "Failed"
    with pytest.raises(AzureFailed) as caught:
        change(port, traffic={"red": 100})
    assert caught.value.status == 400
    port.delete_deployment(NAME, "red")
    assert "red" not in deployments(port)


def test_the_quota_of_vm_sizes_counts_what_deployments_take(port: Azure) -> None:
    """A size has a family and cores; each instance uses some of the family's, and some more are in reserve."""
    location = read(port)["location"]
    before = port.read_vm_sizes(location)["standard_ds3_v2"]
    port.scale_deployment(NAME, "green", 2)
    after = port.read_vm_sizes(location)["standard_ds3_v2"]

    shown = (before.name, before.family, before.cores, before.limit)
    assert shown == ("Standard_DS3_v2", "standardDSv2Family", 4, None)
    assert after.used - before.used == before.cores_of(2) - before.cores_of(1) == 4
    assert "standard_none" not in port.read_vm_sizes(location)


def test_a_label_becomes_a_version(port: Azure) -> None:
    """A version stays what it is."""
    assert port.resolve("model", MODEL) == "azureml:scale-model:2"
    assert port.resolve("model", "azureml:scale-model:1") == "azureml:scale-model:1"


def test_versions_of_models_are_listed(port: Azure, arm: Arm, assets: Assets) -> None:
    """The newest first, with their tags; without what is archived, and none of a model that is not there."""
    uri = arm.get(assets.models[0].removeprefix(f"{arm.workspace}/"))["properties"]["modelUri"]
    for version, tags, is_archived in (("1", {}, False), ("2", {"stage": "ready"}, False), ("3", {}, True)):
        if isinstance(port, Memory):
            port.models += [RegisteredModel("listed", version, MADE_AT, tags)] if not is_archived else []
        else:
            properties = {"modelUri": uri, "modelType": "custom_model", "tags": tags}
            body = {"properties": properties | {"isArchived": is_archived}}
            arm.call("PUT", f"models/listed/versions/{version}", body).raise_for_status()

    found = port.list_model_versions("listed")

    assert [(model.name, model.version, dict(model.tags)) for model in found] == [
        ("listed", "2", {"stage": "ready"}),
        ("listed", "1", {}),
    ]
    assert "listed" in port.list_models()
    assert port.list_models() == sorted(port.list_models())
    assert port.list_model_versions("nowhere") == []
