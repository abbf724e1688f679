"""Code: the folder of files that a deployment runs, as Azure keeps it in blobs."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.storage.blob import ContainerClient

from saferollout.azure.access import translated
from saferollout.azure.arm import Arm
from saferollout.azure.collected import DEFAULT_STORE, open_container
from saferollout.azure.port import StoredFile
from saferollout.domain.errors import AzureFailed

MAX_FILES = 1000
"""A folder of more files is not compared."""
CALL: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 10, "retry_total": 2}
"""Seconds, and further tries: a person is waiting for the question."""


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

    Raises:
        AzureFailed: Azure refused, failed or did not answer, or the folder is not in the workspace's storage account.
    """
    if not (path := arm.path_of(code)):
        msg = "the code is not this workspace's"
        raise AzureFailed(msg)
    with translated("look up the code"):
        place = urlsplit(unquote(str(arm.get(path)["properties"].get("codeUri"))))
        account = open_container(arm, DEFAULT_STORE, identity, **CALL)
    own = urlsplit(str(account.url))
    base = own.path.strip("/").rpartition("/")[0]
    container, _, folder = place.path.strip("/").removeprefix(f"{base}/" if base else "").partition("/")
    if place.hostname != own.hostname or not folder:  # a password is shown to nobody else
        msg = "the code lies in another storage account than the workspace's"
        raise AzureFailed(msg)
    with translated("look up the code"):
        own_container = open_container(arm, DEFAULT_STORE, identity, container, **CALL)
    return BlobFolder(own_container, folder)
