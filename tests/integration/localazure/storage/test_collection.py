"""What the data collector writes, read through the workspace's datastore: whatever form its lines have."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from saferollout.azure import collection
from saferollout.azure.collection import Collection, open_collections
from saferollout.config.project import resolve_workspace
from saferollout.domain.errors import AzureFailed
from tests.support.localazure.arm import Arm, Assets

NAME, FOLDER = "gathered", "modelDataCollector/gathered/blue/request"
NOW = datetime.now(UTC)
HOUR_AGO, DAY_AGO = NOW - timedelta(hours=1), NOW - timedelta(days=1)


@pytest.fixture(scope="module")
def endpoint(arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint that collects requests, and had no users yet."""
    arm.endpoint(NAME)
    collections = {"request": {"dataCollectionMode": "Enabled"}, "response": {"dataCollectionMode": "Disabled"}}
    arm.deploy(NAME, "blue", assets, dataCollector={"collections": collections})
    yield NAME
    arm.run("DELETE", f"onlineEndpoints/{NAME}")


@pytest.fixture
def container(arm: Arm) -> Iterator[ContainerClient]:
    """The datastore's, to write what Azure would."""
    store = arm.get("datastores/workspaceblobstore")["properties"]
    signature = arm.call("POST", "datastores/workspaceblobstore/listSecrets").json()["sasToken"]
    address = f"https://{store['accountName']}.blob.{store['endpoint']}/{store['containerName']}{signature}"
    with ContainerClient.from_container_url(address) as client:
        yield client
        for name in list(client.list_blob_names(name_starts_with=f"{FOLDER}/")):
            client.delete_blob(name)


def event(identifier: str, at: datetime = HOUR_AGO, **more: Any) -> str:
    """An event as Azure writes it."""
    given = {"specversion": "1.0", "xrequestid": identifier, "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps(given | {"datacontenttype": "application/json", "data": {"x": 1}} | more)


def write(container: ContainerClient, text: str, at: datetime = HOUR_AGO, name: str = "a.jsonl") -> None:
    """A file of that hour."""
    container.upload_blob(f"{FOLDER}/{at:%Y/%m/%d/%H}/{name}", text.encode())


def ids(collection: Collection, since: datetime = DAY_AGO) -> list[str]:
    """The ids of what is read."""
    return [found.id for found in collection.events(since)]


def open_requests(endpoint: str) -> Collection:
    """The collection of requests, the only one that is enabled."""
    found = open_collections(resolve_workspace(None), endpoint, "blue")
    assert set(found) == {"request"}
    return found["request"]


def test_lines_of_any_form_are_read(endpoint: str, container: ContainerClient) -> None:
    """One event a line, several, a list of them; what is none, too old or has no id is passed over."""
    lines = [event("a"), event("b") + event("c"), f"[{event('d')}, {event('e')}]", "nothing", "", "[1, null]"]
    lines += [event("old", DAY_AGO - timedelta(hours=2)), event("", x=1), '{"specversion": "1.0"', event("f")]
    write(container, "\n".join(lines))
    write(container, event("g") + "\n", HOUR_AGO - timedelta(hours=3))
    write(container, event("not JSON Lines"), name="raw-body")

    found = open_requests(endpoint)

    assert ids(found) == ["g", "a", "b", "c", "d", "e", "f"]
    assert ids(found, NOW - timedelta(minutes=1)) == []
    assert found.is_complete


def test_bodies_in_blobs_of_their_own_are_read(endpoint: str, container: ContainerClient) -> None:
    """By address, if that is the same container's: another place is nobody's to read."""
    raw = bytes(range(256))
    container.upload_blob(f"{FOLDER}/{HOUR_AGO:%Y/%m/%d/%H}/body 1", raw)
    here = f"{container.url.partition('?')[0]}/{FOLDER}/{HOUR_AGO:%Y/%m/%d/%H}/body%201"
    image: dict[str, Any] = {"datacontenttype": "image/png", "datainblob": "true", "contentrange": "bytes 0-255/256"}
    lines = [event("a", **image, data=here), event("b", dataref=here, data=None, contentrange="bytes 0-9/10")]
    lines += [event("c", **image, data=f"https://elsewhere.example{there}") for there in ("/x/y", here[8:])]
    write(container, "\n".join(lines))

    collection = open_requests(endpoint)
    found = list(collection.events(DAY_AGO))

    assert [(each.id, each.content_type, each.size, each.data) for each in found] == [
        ("a", "image/png", 256, None),
        ("b", "application/json", 10, None),
    ]
    assert {collection.content(each.blob) for each in found} == {raw}


def test_of_much_an_even_part_is_read(
    endpoint: str, container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each hour's file, and no line that is cut off."""
    for hour in range(4):
        at = HOUR_AGO - timedelta(hours=hour)
        write(container, "".join(event(f"{hour}-{number}", at) + "\n" for number in range(100)), at)
    monkeypatch.setattr(collection, "LEAST_BYTES", 100)
    monkeypatch.setattr(collection, "MAX_READ_BYTES", 20_000)

    found = open_requests(endpoint)
    read = ids(found)

    counts = [sum(identifier.startswith(f"{hour}-") for identifier in read) for hour in range(4)]
    assert 100 < sum(counts) < 200
    assert max(counts) - min(counts) <= 2
    assert not found.is_complete


def test_what_cannot_be_read_is_said_without_a_secret(endpoint: str, container: ContainerClient) -> None:
    """A blob that is gone is Azure's failure; the signature is in no message."""
    collection = open_requests(endpoint)
    with pytest.raises(AzureFailed) as caught:
        collection.content("gone")

    assert "BlobNotFound" in str(caught.value)
    assert "sig=" not in str(caught.value)
    assert container.url.partition("sig=")[2][:20] not in str(caught.value)
