"""What local Azure has collected, as anyone reads it who may read blobs."""

import json
import re
from typing import Any

from azure.storage.blob import ContainerClient

from tests.support.localazure.arm import Arm, wait_for

_FILE = re.compile(r"/\d{4}/\d\d/\d\d/\d\d/[0-9a-f-]{36}\.jsonl")


def look(arm: Arm, folder: str) -> list[dict[str, Any]]:
    """The events of a collection that is rolled by the hour, in the order in which they came."""
    store = "datastores/workspaceblobstore"
    container = arm.get(store)["properties"]["containerName"]
    signature = arm.call("POST", f"{store}/listSecrets").json()["sasToken"]
    address = f"{arm.url}/storage.blob.localazure/{container}?{signature}"
    with ContainerClient.from_container_url(address) as client:
        names = list(client.list_blob_names(name_starts_with=f"{folder}/"))
        texts = [client.download_blob(name).readall() for name in names if _FILE.fullmatch(name[len(folder) :])]
        return [json.loads(line) for text in texts for line in text.splitlines()]


def read(arm: Arm, folder: str, count: int) -> list[dict[str, Any]]:
    """Likewise, once there are `count`."""
    found: list[dict[str, Any]] = wait_for(lambda: look(arm, folder), lambda events: len(events) >= count)
    assert len(found) == count
    return found
