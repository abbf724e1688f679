"""azure-mgmt-machinelearningservices, unchanged: a client that is generated apart from azure-ai-ml's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.paging import ItemPaged
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient, models
from azure.storage.blob import ContainerClient

from tests.support.localazure.arm import Arm, Assets, message

PLACE: dict[str, Any] = {"resource_group_name": "local", "workspace_name": "local"}
GREEN: dict[str, Any] = {"deployment_name": "green"}


def endpoint(**properties: Any) -> models.OnlineEndpoint:
    """An endpoint with keys."""
    return models.OnlineEndpoint(
        location="local", properties=models.OnlineEndpointProperties(auth_mode="Key", **properties)
    )


def deployment(assets: Assets, model: int = 1, count: int = 1, **properties: Any) -> models.OnlineDeployment:
    """A deployment of the test project."""
    return models.OnlineDeployment(
        location="local",
        sku=models.Sku(name="Default", capacity=count),
        properties=models.ManagedOnlineDeployment(
            model=assets.models[model - 1],
            code_configuration=models.CodeConfiguration(code_id=assets.code, scoring_script="score.py"),
            environment_id=assets.environment,
            instance_type="Standard_DS3_v2",
            **properties,
        ),
    )


@pytest.fixture
def two(arm: Arm) -> Iterator[None]:
    """Two endpoints without deployments, tagged."""
    for name, tags in (("paged-one", {"team": "a", "tier": "1"}), ("paged-two", {"team": "b"})):
        body = {"location": "local", "tags": tags, "properties": {"authMode": "Key", "properties": {"kept": name}}}
        assert arm.run("PUT", f"onlineEndpoints/{name}", body)["status"] == "Succeeded"
    yield
    for name in ("paged-one", "paged-two"):
        arm.run("DELETE", f"onlineEndpoints/{name}")


def test_the_safe_rollout_walk_works_with_the_management_client(
    management: MachineLearningServicesMgmtClient, arm: Arm, assets: Assets
) -> None:
    """The twelve steps of the how-to; every operation answers in the forms that the client expects."""
    endpoints, deployments = management.online_endpoints, management.online_deployments
    here = {**PLACE, "endpoint_name": "walked"}

    created = endpoints.begin_create_or_update(**here, body=endpoint()).result()
    assert created.properties.provisioning_state == "Succeeded"
    blue = deployments.begin_create_or_update(**here, deployment_name="blue", body=deployment(assets)).result()
    assert blue.properties.provisioning_state == "Succeeded"
    endpoints.begin_create_or_update(**here, body=endpoint(traffic={"blue": 100})).result()
    assert arm.score("walked", {"x": 1}).json()["y"] == 2

    patch = models.PartialMinimalTrackedResourceWithSku(sku=models.PartialSku(name="Default", capacity=2))
    scaled = deployments.begin_update(**here, deployment_name="blue", body=patch).result()
    assert scaled.sku is not None
    assert scaled.sku.capacity == 2

    green = deployments.begin_create_or_update(**here, **GREEN, body=deployment(assets, model=2)).result()
    assert green.properties.endpoint_compute_type == "Managed"
    assert endpoints.get(**here).properties.traffic == {"blue": 100}
    assert arm.score("walked", {"x": 1}, "green").json()["y"] == 3
    mirrored = endpoint(traffic={"blue": 100}, mirror_traffic={"green": 10})
    assert endpoints.begin_create_or_update(**here, body=mirrored).result().properties.mirror_traffic == {"green": 10}
    for traffic in ({"blue": 90, "green": 10}, {"blue": 0, "green": 100}):
        updated = endpoints.begin_create_or_update(**here, body=endpoint(traffic=traffic)).result()
        assert updated.properties.traffic == traffic
    deployments.begin_delete(**here, deployment_name="blue").result()
    assert [found.name for found in deployments.list(**here)] == ["green"]

    sku = next(iter(deployments.list_skus(**here, **GREEN)))
    assert sku.sku is not None
    assert sku.capacity is not None
    assert (sku.sku.name, sku.capacity.minimum, sku.capacity.maximum) == ("Default", 1, 50)
    for container in ("InferenceServer", "StorageInitializer"):
        wanted = models.DeploymentLogsRequest(container_type=container, tail=1)
        content = deployments.get_logs(**here, **GREEN, body=wanted).content
        assert str(content).count("\n") == 4  # three lines of heading
    tags = models.PartialMinimalTrackedResourceWithIdentity(tags={"stage": "done"})
    assert endpoints.begin_update(**here, body=tags).result().tags == {"stage": "done"}
    before = endpoints.list_keys(**here)
    endpoints.begin_regenerate_keys(**here, body=models.RegenerateEndpointKeysRequest(key_type="Primary")).result()
    after = endpoints.list_keys(**here)
    assert after.primary_key != before.primary_key
    assert after.secondary_key == before.secondary_key

    endpoints.begin_delete(**here).result()
    with pytest.raises(ResourceNotFoundError):
        endpoints.get(**here)
    with pytest.raises(ResourceNotFoundError):
        deployments.get(**here, **GREEN)


@pytest.mark.usefixtures("two")
def test_endpoints_are_listed_in_pages_and_filtered(management: MachineLearningServicesMgmtClient) -> None:
    """`count` is the size of a page, `nextLink` leads on; name, tags, properties and compute type choose."""
    listed = management.online_endpoints.list(**PLACE, count=1)
    assert isinstance(listed, ItemPaged)
    pages = [[found.name for found in page] for page in listed.by_page()]
    assert all(len(page) == 1 for page in pages)
    assert {"paged-one", "paged-two"} <= {name for page in pages for name in page}

    def names(**query: Any) -> list[str]:
        found = management.online_endpoints.list(**PLACE, **query)
        return [name for endpoint in found if (name := str(endpoint.name)).startswith("paged")]

    assert names(name="paged-two") == ["paged-two"]
    assert names(tags="team=a,tier") == ["paged-one"]
    assert names(tags="team=c") == []
    assert names(properties="kept=paged-two") == ["paged-two"]
    assert names(compute_type="Kubernetes") == []
    assert names(order_by="CreatedAtDesc") == ["paged-two", "paged-one"]
    assert names(order_by="CreatedAtAsc") == ["paged-one", "paged-two"]


@pytest.mark.usefixtures("two")
def test_a_page_that_is_none_is_refused(management: MachineLearningServicesMgmtClient, arm: Arm) -> None:
    """400 for a token or a size that is none, 501 for a parameter that local Azure does not know."""
    for query in ({"skip": "nonsense"}, {"count": -1}):
        with pytest.raises(HttpResponseError) as caught:
            list(management.online_endpoints.list(**PLACE, **query))
        assert caught.value.status_code == 400
    assert arm.http.get(f"{arm.workspace}/onlineEndpoints?colour=red").status_code == 501


def test_assets_are_versioned_listed_archived_and_restored(
    management: MachineLearningServicesMgmtClient, assets: Assets
) -> None:
    """Versions in pages of `$top`, newest first if asked; archived ones only for whoever asks for them."""
    uri = management.model_versions.get(**PLACE, name="scale-model", version="1").properties.model_uri
    versions = {**PLACE, "name": "aged"}
    for number in ("1", "2", "3"):
        body = models.ModelVersion(properties=models.ModelVersionProperties(model_uri=uri, tags={"n": number}))
        management.model_versions.create_or_update(**versions, version=number, body=body)

    def listed(**query: Any) -> list[str]:
        return [str(found.name) for found in management.model_versions.list(**versions, **query)]

    assert listed(top=2) == ["1", "2", "3"]
    assert listed(top=1, order_by="createdtime desc") == ["3", "2", "1"]
    assert listed(tags="n=2") == ["2"]
    container = management.model_containers.get(**versions).properties
    assert [container.latest_version, container.next_version] == ["3", "4"]

    newest = management.model_versions.get(**versions, version="3")
    newest.properties.is_archived = True
    management.model_versions.create_or_update(**versions, version="3", body=newest)
    assert listed() == ["1", "2"]
    assert listed(list_view_type="ArchivedOnly") == ["3"]
    assert listed(list_view_type="All") == ["1", "2", "3"]
    assert management.model_containers.get(**versions).properties.latest_version == "2"
    newest.properties.is_archived = False
    management.model_versions.create_or_update(**versions, version="3", body=newest)
    assert listed() == ["1", "2", "3"]

    archived = models.ModelContainer(properties=models.ModelContainerProperties(is_archived=True, description="old"))
    assert management.model_containers.create_or_update(**versions, body=archived).properties.description == "old"
    assert "aged" not in {found.name for found in management.model_containers.list(**PLACE)}
    assert "aged" in {found.name for found in management.model_containers.list(**PLACE, list_view_type="All")}

    management.model_versions.delete(**versions, version="3")
    assert listed() == ["1", "2"]
    assert "scale-env" in {found.name for found in management.environment_containers.list(**PLACE)}
    assert [found.name for found in management.environment_versions.list(**PLACE, name="scale-env")] == ["1"]
    code = assets.code.split("/")[-3]  # the SDK takes the name under which the same code was uploaded first
    assert [found.name for found in management.code_versions.list(**PLACE, name=code)] == ["1"]
    assert code in {found.name for found in management.code_containers.list(**PLACE)}


def test_code_is_uploaded_by_the_management_client(
    management: MachineLearningServicesMgmtClient, project: Path
) -> None:
    """A pending upload gives an address to put the files at; the version then names them."""
    code = {**PLACE, "name": "sent", "version": "1"}
    wanted = models.PendingUploadRequestDto(pending_upload_type="TemporaryBlobReference")
    place = management.code_versions.create_or_get_start_pending_upload(**code, body=wanted)
    reference = place.blob_reference_for_consumption
    assert reference is not None
    credential = reference.credential
    assert isinstance(credential, models.SASCredentialDto)
    with ContainerClient.from_container_url(str(credential.sas_uri)) as container:
        container.upload_blob("code/score.py", (project / "code" / "score.py").read_bytes())
    uri = f"{reference.blob_uri}/code"
    body = models.CodeVersion(properties=models.CodeVersionProperties(code_uri=uri))
    assert management.code_versions.create_or_update(**code, body=body).properties.code_uri == uri
    assert management.code_versions.get(**code).name == "1"


def test_keys_can_be_chosen_when_an_endpoint_is_created(management: MachineLearningServicesMgmtClient) -> None:
    """And are not in what is read back: listKeys alone tells them."""
    here = {**PLACE, "endpoint_name": "chosen"}
    keys = models.EndpointAuthKeys(primary_key="a" * 32, secondary_key="b" * 32)
    management.online_endpoints.begin_create_or_update(**here, body=endpoint(keys=keys)).result()
    assert management.online_endpoints.get(**here).properties.keys is None
    assert management.online_endpoints.list_keys(**here).primary_key == "a" * 32
    management.online_endpoints.begin_delete(**here).result()


@pytest.mark.parametrize(
    ("method", "path", "body", "missing"),
    [
        ("PUT", "onlineEndpoints/odd", {"properties": {"authMode": "Key", "shape": "round"}}, "properties.shape"),
        ("PUT", "onlineEndpoints/odd", {"colour": "red"}, "colour"),
        ("PATCH", "onlineEndpoints/paged-one", {"properties": {"traffic": {}}}, "properties"),
        ("POST", "onlineEndpoints/paged-one/regenerateKeys", {"keyType": "Primary", "length": 8}, "length"),
        (
            "PUT",
            "onlineEndpoints/paged-one/deployments/odd",
            {"properties": {"startupProbe": {"path": "/"}}},
            "startupProbe.path",
        ),
        ("PUT", "onlineEndpoints/paged-one/deployments/odd", {"properties": {"readinessProbe": {"path": "/"}}}, "path"),
        ("PUT", "models/odd/versions/1", {"properties": {"jobName": "train"}}, "properties.jobName"),
        ("PUT", "models/odd/versions/1", {"properties": {"flavors": {"a": {"b": 1}}}}, "properties.flavors.a.b"),
        ("POST", "codes/odd/versions/1/startPendingUpload", {"pendingUploadType": "DataReference"}, "DataReference"),
    ],
)
@pytest.mark.usefixtures("two")
def test_a_property_that_local_azure_does_not_know_is_501(
    arm: Arm, method: str, path: str, body: dict[str, Any], missing: str
) -> None:
    """With the property's name: nothing that a client asks for is dropped in silence."""
    answer = arm.call(method, path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotImplemented")
    assert missing in message(answer)


def test_an_object_is_not_a_plain_value(arm: Arm) -> None:
    """400, and no failure of local Azure's own."""
    answer: httpx.Response = arm.call("PUT", "onlineEndpoints/odd", {"properties": {"traffic": "all"}})
    assert answer.status_code == 400
    assert "properties.traffic" in message(answer)
