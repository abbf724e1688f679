"""Collection: users' requests and their answers, as a deployment's data collector writes them to the workspace's blobs.

A line is a CloudEvent with the body, or the address of a blob that has it
(https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data).
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from azure.storage.blob import ContainerClient

from saferollout.azure.access import credential, translated
from saferollout.azure.arm import Arm
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import Refused

DEFAULT_STORE = "workspaceblobstore"
MAX_READ_BYTES = 128 * 2**20
"""So much of a collection is read at most: of more, an even part of every file."""
LEAST_BYTES = 2**16
"""So much of each file at least."""
DAYS_BY_NAME = 62
"""Files of so many days are listed by the day, those of a longer time all at once."""
_STORED = re.compile(r"datastores/(?P<store>[^/]+)/paths/(?P<path>.+?)/*", re.IGNORECASE)
_VERSION = re.compile(r".*/data/(?P<name>[^/]+)/versions/(?P<version>[^/]+)", re.IGNORECASE)


class Store(NamedTuple):
    """A datastore of blobs."""

    account: str
    """The address of its storage account."""
    container: str
    secret: Any
    """What the account is asked with."""


class CollectedEvent(NamedTuple):
    """One request, or one answer."""

    id: str
    """Both have the same."""
    content_type: str
    data: Any
    """The JSON body; None where it is in a blob."""
    blob: str
    """The name of the blob that has the body; empty where it is here."""
    size: int
    """How many bytes the body has."""
    method: str
    path: str
    client_id: str
    """The client's own id of the request, where that header is collected."""


class Collection:
    """What one collection of a deployment holds."""

    def __init__(self, container: ContainerClient, folder: str, rolling_rate: str) -> None:
        self._container = container
        self._folder = folder
        self._by_day = rolling_rate.lower() in ("", "minute", "hour", "day")
        self.is_complete = True
        """Whether all that was collected has been read."""

    def events(self, since: datetime) -> Iterator[CollectedEvent]:
        """Yield what was collected since then, by the hour; lines that are not events are passed over.

        Raises:
            AzureFailed: The blobs cannot be read.
        """
        with translated("list what is collected"):
            blobs = sorted(
                (blob.name, int(blob.size))
                for prefix in self._prefixes(since)
                for blob in self._container.list_blobs(name_starts_with=prefix)
                if str(blob.name).endswith(".jsonl") and blob.last_modified >= since
            )
        total = sum(size for _, size in blobs)
        self.is_complete = total <= MAX_READ_BYTES
        share = min(1.0, MAX_READ_BYTES / total) if total else 1.0
        for name, size in blobs:
            length = min(size, max(LEAST_BYTES, int(size * share)))
            if length:
                yield from self._read(self.content(name, length), since, is_whole=length == size)

    def content(self, blob: str, length: int | None = None) -> bytes:
        """A blob's bytes, or the first `length` of them.

        Raises:
            AzureFailed: It cannot be read.
        """
        with translated("read what is collected"):
            return bytes(self._container.download_blob(blob, offset=0 if length else None, length=length).readall())

    def _prefixes(self, since: datetime) -> list[str]:
        now = datetime.now(UTC)
        days = (now - since).days + 2
        if not self._by_day or days > DAYS_BY_NAME:
            return [f"{self._folder}/"]
        return [f"{self._folder}/{now - timedelta(days=day):%Y/%m/%d}/" for day in range(days)]

    def _read(self, content: bytes, since: datetime, *, is_whole: bool) -> Iterator[CollectedEvent]:
        lines = content.split(b"\n")
        for line in lines if is_whole else lines[:-1]:
            for event in _values(line):
                if (found := self._event(event)) and _time(event) >= since:
                    yield found

    def _event(self, event: dict[str, Any]) -> CollectedEvent | None:
        identifier = str(event.get("xrequestid") or event.get("correlationid") or "")
        if not identifier:
            return None
        reference = str(event.get("dataref") or (event.get("data") if event.get("datainblob") else "") or "")
        blob = self._name(reference) if reference else ""
        if reference and not blob:
            return None
        data = None if blob else event.get("data")
        ranged = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", str(event.get("contentrange")))
        return CollectedEvent(
            id=identifier,
            content_type=str(event.get("datacontenttype") or ""),
            data=data,
            blob=blob,
            size=int(ranged[1]) if ranged else len(json.dumps(data)),
            method=str(event.get("method") or "POST"),
            path=str(event.get("path") or ""),
            client_id=str(event.get("xmsclientrequestid") or ""),
        )

    def _name(self, address: str) -> str:
        """The blob at an address; empty for one elsewhere, which nobody but its owner has asked us to read."""
        own, given = urlsplit(str(self._container.url)), urlsplit(address)
        folder = f"{own.path.rstrip('/')}/"
        is_here = (given.hostname, given.path.startswith(folder)) == (own.hostname, True)
        return unquote(given.path.removeprefix(folder)) if is_here else ""


def open_collections(config: WorkspaceConfig, endpoint: str, deployment: str) -> dict[str, Collection]:
    """The collections of a deployment that are enabled, by their names in small letters.

    Raises:
        AzureFailed: Azure refused, failed or did not answer.
        Refused: A collection's data lies in no datastore.
    """
    with translated(f"look up what {deployment} of {endpoint} collects"):
        identity = credential()
        arm = Arm(identity, config)
        path = f"onlineEndpoints/{quote(endpoint, safe='')}/deployments/{quote(deployment, safe='')}"
        collector = arm.get(path)["properties"].get("dataCollector") or {}
        stores: dict[str, ContainerClient] = {}
        found = {}
        for name, collection in (collector.get("collections") or {}).items():
            if str(collection.get("dataCollectionMode")).lower() != "enabled":
                continue
            store, folder = _place(arm, str(collection.get("dataId") or ""), f"{endpoint}/{deployment}/{name}")
            if store not in stores:
                stores[store] = _container(arm, store, identity)
            found[name.lower()] = Collection(stores[store], folder, str(collector.get("rollingRate") or ""))
        return found


def _place(arm: Arm, data_id: str, default: str) -> tuple[str, str]:
    """Return the datastore and the folder of a data asset, or where data goes that has none.

    Raises:
        Refused: The asset lies elsewhere.
    """
    if match := _VERSION.fullmatch(data_id):
        asset = arm.get(f"data/{quote(match['name'], safe='')}/versions/{quote(match['version'], safe='')}")
        if stored := _STORED.search(uri := str(asset["properties"]["dataUri"])):
            path = uri[stored.start("path") :].strip("/")
            return stored["store"], path
        msg = f"data asset {match['name']} lies at an address that is not in a datastore, and cannot be read"
        raise Refused(msg)
    return DEFAULT_STORE, f"modelDataCollector/{default}"


def find_store(arm: Arm, store: str, identity: Any) -> Store:
    """Where a datastore is, with its own credentials or, where it has none, with ours.

    Raises:
        Refused: It is not of blobs.
    """
    name = f"datastores/{quote(store, safe='')}"
    properties = arm.get(name)["properties"]
    container = properties.get("containerName") or properties.get("filesystem")
    if not container or not properties.get("accountName"):
        msg = f"datastore {store} is not of blobs ({properties.get('datastoreType')}), and cannot be read"
        raise Refused(msg)
    secret: Any = identity
    if str((properties.get("credentials") or {}).get("credentialsType") or "None").lower() != "none":
        secrets = arm.post(f"{name}/listSecrets")
        secret = str(secrets.get("sasToken") or "").removeprefix("?") or secrets.get("key") or identity
    account = f"{properties.get('protocol') or 'https'}://{properties['accountName']}.blob.{properties['endpoint']}"
    return Store(account, container, secret)


def _container(arm: Arm, store: str, identity: Any) -> ContainerClient:
    """Return a datastore's container.

    Raises:
        Refused: It is not of blobs.
    """
    found = find_store(arm, store, identity)
    return ContainerClient.from_container_url(f"{found.account}/{found.container}", credential=found.secret)


def _values(line: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects in a line: the service may write several after each other, or a list of them."""
    decoder, text, at = json.JSONDecoder(), line.decode(errors="replace").strip(), 0
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict))
        while at < len(text) and text[at] in " ,\t\r":
            at += 1


def _time(event: dict[str, Any]) -> datetime:
    try:
        found = datetime.fromisoformat(str(event.get("time")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
