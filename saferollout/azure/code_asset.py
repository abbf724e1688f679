"""Code: the folder of files that a deployment runs, as Azure keeps it in blobs."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from azure.storage.blob import ContainerClient

from saferollout.azure.access import translated
from saferollout.azure.arm import Arm
from saferollout.azure.collection import DEFAULT_STORE, find_store
from saferollout.azure.port import StoredFile
from saferollout.domain.errors import AzureFailed

MAX_FILES = 1000
"""A folder of more files is not compared."""
CALL: dict[str, Any] = {
    "connection_timeout": 5,
    "read_timeout": 10,
    "retry_total": 2,
    "initial_backoff": 1,
    "increment_base": 2,
}
"""Seconds, and further tries: a person is waiting for the question."""


class Place(NamedTuple):
    """Where a folder lies in a storage account."""

    container: str
    folder: str


class BlobFolder:
    """A folder of blobs."""

    def __init__(self, container: ContainerClient, folder: str) -> None:
        self._container = container
        self._folder = f"{folder.strip('/')}/"
        self.files = dict(self._list())
        """See `Folder`."""

    def read(self, name: str) -> bytes:
        """See `Folder`."""
        with translated(f"read the code's file {name}"):
            return bytes(self._container.download_blob(self._folder + name).readall())

    def _list(self) -> Iterator[tuple[str, StoredFile]]:
        with translated("list the files of the code"):
            for count, blob in enumerate(self._container.list_blobs(name_starts_with=self._folder)):
                if count == MAX_FILES:
                    msg = f"the code has more than {MAX_FILES:,} files"
                    raise AzureFailed(msg)
                digest = blob.content_settings.content_md5
                yield str(blob.name).removeprefix(self._folder), StoredFile(int(blob.size), bytes(digest or b""))


def open_code(arm: Arm, identity: Any, code: str) -> BlobFolder:
    """The folder of a code asset, by its resource id.

    It lies in a container of its own in the workspace's storage account. The credentials of the default datastore may
    be for another container only; then ours are tried.

    Raises:
        AzureFailed: Azure refused, failed or did not answer, or the folder is not in the workspace's storage account.
    """
    if not (path := arm.path_of(code)):
        msg = "the code is not this workspace's"
        raise AzureFailed(msg)
    with translated("look up the code"):
        uri = str(arm.get(path)["properties"].get("codeUri"))
        store = find_store(arm, DEFAULT_STORE, identity)
    if not (place := find_place(uri, store.account)):  # a password is shown to nobody else
        msg = "the code lies in another storage account than the workspace's"
        raise AzureFailed(msg)
    for secret in (store.secret, identity):
        try:
            url = f"{store.account}/{place.container}"
            container = ContainerClient.from_container_url(url, credential=secret, **CALL)
            return BlobFolder(container, place.folder)
        except AzureFailed as error:
            if error.status not in (401, 403):
                raise
            refused = error
    msg = f"{refused}; whoever runs the rollout needs the role Storage Blob Data Reader on the workspace's storage"
    raise AzureFailed(msg, status=403) from refused


def find_place(uri: str, account: str) -> Place | None:
    """The container and the folder to which an address leads, in the storage account; None for elsewhere."""
    given, own = urlsplit(uri), urlsplit(account)
    base = own.path.rstrip("/") + "/"  # local Azure's account is a path
    if (given.scheme, given.hostname) != (own.scheme, own.hostname) or not given.path.startswith(base):
        return None
    container, _, folder = unquote(given.path).removeprefix(base).strip("/").partition("/")
    return Place(container, folder) if container and folder else None
