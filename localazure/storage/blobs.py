"""The workspace's storage account: blobs on disk, and the part of Blob Storage's REST protocol that uploads use."""

import asyncio
import base64
import email.utils
import hashlib
import os
import re
import shutil
import time
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import content
from localazure.arm.errors import BLOB_SERVER, BLOB_VERSION, ArmError, BlobError
from localazure.arm.identity import Identity
from localazure.core.disk import Disk, is_full
from localazure.core.store import Store
from localazure.core.tables import Table
from localazure.storage.blob_access import BlobAccess
from localazure.storage.blob_files import MAX_BLOB_BYTES, join, receive

ACCOUNT_PATH = "storage"
ENDPOINT_SUFFIX = "localazure"

_MAX_BLOCK_LIST_BYTES = 8 * 1024**2  # 50,000 blocks, as many as Azure takes

BLOBS_PATH = f"/{ACCOUNT_PATH}.blob.{ENDPOINT_SUFFIX}"  # what every blob's address has after the host


class Blob(BaseModel):
    """What is kept of a blob."""

    file: str
    """The name of the file that has its bytes."""
    metadata: dict[str, str]
    md5: str
    blocks: list[str] | None = None
    """What it was put together from."""
    type: str
    etag: str
    created: float
    """When, in seconds since 1970."""
    modified: float
    kind: str = "BlockBlob"


class Blobs:
    """Containers of blobs.

    A blob's bytes lie in a file whose name is random, and its own name only in the store, so that no name that a client
    chooses becomes a path. `write_to` is where names turn into paths again, and checks them.
    """

    def __init__(
        self, directory: Path, store: Store, authority: str, key: bytes, disk: Disk, identity: Identity
    ) -> None:
        self._directory = directory
        self._disk = disk
        self.access = BlobAccess(key, identity)
        self._table = Table(store, "blob", Blob)
        self.account = f"{authority}/{ACCOUNT_PATH}"
        """`accountName` of the datastore. The SDK makes the host of a blob address out of account and suffix,
        `https://{account}.blob.{suffix}`; an account that begins with our address makes it a path on this server, which
        works without name resolution."""
        self.url = f"https://{authority}{BLOBS_PATH}"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self, container: str, prefix: str) -> list[str]:
        """Return the blobs under `prefix`: the blob of that very name, or all in the folder of that name."""
        folder = prefix.rstrip("/") + "/"
        start = f"{container}/"
        keys = (key.removeprefix(start) for key, _ in self._table.items(start + prefix.rstrip("/")))
        return [name for name in keys if name == prefix or name.startswith(folder)]

    def write_to(self, container: str, prefix: str, target: Path) -> Path:
        """Copy the blob or folder `prefix` into the directory `target`.

        Returns:
            The path of the file or folder.

        Raises:
            FileNotFoundError: There is nothing of that name.
            ValueError: A name leads out of `target`.
        """
        names = self.names(container, prefix)
        if not names:
            raise FileNotFoundError(f"{container}/{prefix}")
        base = PurePosixPath(prefix.rstrip("/")).parent
        for name in names:
            relative = PurePosixPath(name).relative_to(base)
            if relative.is_absolute() or ".." in relative.parts or "\0" in name:
                raise ValueError(f"the blob name {name!r} leads out of its folder")
            path = target.joinpath(*relative.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            blob = self._table.get(f"{container}/{name}")
            if blob is not None:
                shutil.copyfile(self._directory / blob.file, path)
        return target / PurePosixPath(prefix.rstrip("/")).name

    def append(self, container: str, name: str, content: bytes, media_type: str) -> None:
        """Add to the end of the append blob of that name, which is made where there is none.

        Raises:
            OSError: The disk is full, or fails otherwise.
        """
        self._disk.require_space()
        key, moment = f"{container}/{name}", time.time()
        blob = self._table.get(key) or Blob(
            file=uuid.uuid4().hex, metadata={}, md5="", type=media_type, etag="", created=moment, modified=moment
        )
        blob.kind, blob.etag, blob.modified = "AppendBlob", uuid.uuid4().hex, moment
        path = self._directory / blob.file
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
            file.write(content)
        self._table.put(key, blob)

    def routes(self) -> list[Route]:
        """Return Blob Storage's paths on this server."""
        methods = ["GET", "HEAD", "PUT", "DELETE"]
        return [
            Route(BLOBS_PATH + "/{container}", self._container, methods=methods),
            Route(BLOBS_PATH + "/{container}/{name:path}", self._blob, methods=methods),
        ]

    async def _container(self, request: Request) -> Response:
        container = request.path_params["container"]
        self.access.require(request, container)
        if request.method == "GET" and request.query_params.get("comp") == "list":
            return self._list(container, request.query_params.get("prefix", ""))
        if request.method in ("GET", "HEAD"):
            return Response(headers={"ETag": '"0"', "Last-Modified": email.utils.formatdate(0, usegmt=True)})
        raise BlobError(501, "NotImplemented", "Local Azure does not support this operation on containers.")

    async def _blob(self, request: Request) -> Response:
        container, name = request.path_params["container"], request.path_params["name"]
        self.access.require(request, container)
        try:
            return await self._answer(request, container, name)
        except OSError as error:
            if not is_full(error):
                raise
            # Clients would send it again and again after a 5xx.
            raise BlobError(409, "InsufficientStorage", "There is no space left for the storage account.") from error

    async def _answer(self, request: Request, container: str, name: str) -> Response:
        action = request.query_params.get("comp", "")
        if request.method == "PUT":
            self._disk.require_space()
        match request.method, action:
            case "PUT", "":
                return await self._put(request, container, name)
            case "PUT", "block":
                return await self._put_block(request, container, name)
            case "PUT", "blocklist":
                return await self._put_block_list(request, container, name)
            case "PUT", "metadata":
                return self._put_metadata(request, container, name)
            case "GET" | "HEAD", "":
                return self._get(request, container, name)
            case "DELETE", "":
                blob = self._blob_named(container, name)
                self._table.delete(f"{container}/{name}")
                (self._directory / blob.file).unlink(missing_ok=True)
                return Response(status_code=202)
        raise BlobError(501, "NotImplemented", f"Local Azure does not support {request.method} {action} on blobs.")

    async def _put(self, request: Request, container: str, name: str) -> Response:
        if request.headers.get("x-ms-blob-type", "BlockBlob") != "BlockBlob":
            raise BlobError(501, "NotImplemented", "Local Azure supports block blobs only.")
        if request.headers.get("if-none-match") == "*" and self._table.get(f"{container}/{name}"):
            raise BlobError(409, "BlobAlreadyExists", "The specified blob already exists.")
        path = self._directory / uuid.uuid4().hex
        md5 = await receive(request, path)
        return _created(self._finish(container, name, path, request, md5), md5)

    async def _put_block(self, request: Request, container: str, name: str) -> Response:
        block = request.query_params.get("blockid", "")
        path = self._directory / self._block_file(container, name, block)
        md5 = await receive(request, path)
        return Response(status_code=201, headers={"Content-MD5": md5, "x-ms-request-server-encrypted": "true"})

    async def _put_block_list(self, request: Request, container: str, name: str) -> Response:
        try:
            body = await content(request, _MAX_BLOCK_LIST_BYTES)
        except ArmError as error:
            raise BlobError(413, "RequestBodyTooLarge", str(error)) from error
        try:
            if b"<!" in body:  # no room for declarations that expand
                raise BlobError(400, "InvalidXmlDocument", "The block list has declarations.")
            blocks = [element.text or "" for element in ET.fromstring(body)]  # noqa: S314 - bounded as above
        except (ET.ParseError, LookupError, ValueError) as error:  # also for encodings that are unknown, or of no text
            raise BlobError(400, "InvalidXmlDocument", f"XML specified is not syntactically valid: {error}") from error
        received = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        old = self._table.get(f"{container}/{name}")
        if old and old.blocks == blocks:  # sent again: the answer to the first was lost on the way
            return _created(old, received)
        parts = [self._directory / self._block_file(container, name, block) for block in blocks]
        if not all(part.exists() for part in parts):
            raise BlobError(400, "InvalidBlockList", "The specified block list is invalid.")
        if sum(part.stat().st_size for part in parts) > MAX_BLOB_BYTES:
            raise BlobError(413, "RequestBodyTooLarge", f"A blob may have at most {MAX_BLOB_BYTES} bytes.")
        path = self._directory / uuid.uuid4().hex
        md5 = await asyncio.to_thread(join, parts, path)
        blob = self._finish(container, name, path, request, md5, blocks)
        for part in parts:  # only now: a request that was cut off is sent again
            part.unlink(missing_ok=True)
        return _created(blob, received)

    def _put_metadata(self, request: Request, container: str, name: str) -> Response:
        blob = self._blob_named(container, name)
        blob.metadata, blob.etag, blob.modified = _metadata(request), _new_etag(), time.time()
        self._table.put(f"{container}/{name}", blob)
        return Response(headers=_validators(blob))

    def _get(self, request: Request, container: str, name: str) -> Response:
        blob = self._blob_named(container, name)
        headers = {
            **_validators(blob),
            **{f"x-ms-meta-{key}": value for key, value in blob.metadata.items()},
            "x-ms-blob-type": blob.kind,
            "x-ms-creation-time": email.utils.formatdate(blob.created, usegmt=True),
            "x-ms-lease-state": "available",
            "x-ms-lease-status": "unlocked",
            "x-ms-server-encrypted": "true",
            "x-ms-access-tier": "Hot",
            "x-ms-access-tier-inferred": "true",
            "Server": BLOB_SERVER,
            "Accept-Ranges": "bytes",
        }
        path = self._directory / blob.file
        size = path.stat().st_size
        wanted = request.headers.get("x-ms-range") or request.headers.get("range")
        if request.method == "HEAD":
            headers |= {"Content-Length": str(size), **({"Content-MD5": blob.md5} if blob.md5 else {})}
            return Response(headers=headers, media_type=blob.type)
        if wanted is None and blob.kind == "AppendBlob":  # it may grow while it is sent
            return Response(path.read_bytes(), headers=headers, media_type=blob.type)
        if wanted is None:
            return FileResponse(path, headers=headers, media_type=blob.type)
        start, end = _range(wanted, size)
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(end - start + 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        return Response(content, 206, headers, blob.type)

    def _list(self, container: str, prefix: str) -> Response:
        root = ET.Element("EnumerationResults", ServiceEndpoint=self.url, ContainerName=container)
        blobs = ET.SubElement(root, "Blobs")
        for key, blob in self._table.items(f"{container}/{prefix}"):
            element = ET.SubElement(blobs, "Blob")
            ET.SubElement(element, "Name").text = key.removeprefix(f"{container}/")
            properties = ET.SubElement(element, "Properties")
            ET.SubElement(properties, "Last-Modified").text = email.utils.formatdate(blob.modified, usegmt=True)
            ET.SubElement(properties, "Etag").text = blob.etag
            ET.SubElement(properties, "Content-Length").text = str((self._directory / blob.file).stat().st_size)
            ET.SubElement(properties, "Content-MD5").text = blob.md5 or None
            ET.SubElement(properties, "BlobType").text = blob.kind
            metadata = ET.SubElement(element, "Metadata")
            for name, value in blob.metadata.items():
                ET.SubElement(metadata, name).text = value
        ET.SubElement(root, "NextMarker")
        return Response(ET.tostring(root, encoding="utf-8", xml_declaration=True), media_type="application/xml")

    def _blob_named(self, container: str, name: str) -> Blob:
        blob = self._table.get(f"{container}/{name}")
        if blob is None:
            raise BlobError(404, "BlobNotFound", "The specified blob does not exist.")
        return blob

    def _finish(
        self, container: str, name: str, path: Path, request: Request, md5: str, blocks: list[str] | None = None
    ) -> Blob:
        key = f"{container}/{name}"
        old = self._table.get(key)
        moment = time.time()
        blob = Blob(
            file=path.name,
            metadata=_metadata(request),
            md5=md5,
            blocks=blocks,
            type=request.headers.get("x-ms-blob-content-type", "application/octet-stream"),
            etag=_new_etag(),
            created=old.created if old else moment,
            modified=moment,
        )
        self._table.put(key, blob)
        if old:
            (self._directory / old.file).unlink(missing_ok=True)
        return blob

    def _block_file(self, container: str, name: str, block: str) -> str:
        return "block-" + hashlib.sha256(f"{container}/{name}\0{block}".encode()).hexdigest()


def _new_etag() -> str:
    return f"0x{uuid.uuid4().hex[:15].upper()}"


def _range(wanted: str, size: int) -> tuple[int, int]:
    """Return the first and the last byte that are wanted of `size`, as Blob Storage reads it: `bytes=FIRST-[LAST]`.

    Raises:
        BlobError: It is not one, or begins behind the end.
    """
    found = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})?", wanted.strip(), re.ASCII)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise BlobError(
            400, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format."
        )
    start, end = int(found[1]), min(int(found[2] or size), size - 1)
    if start >= size:
        raise BlobError(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    return start, end


def _created(blob: Blob, received_md5: str) -> Response:
    """Return the response; `received_md5` is of the request's body, be it a block list: clients compare it."""
    headers = {**_validators(blob), "Content-MD5": received_md5, "x-ms-request-server-encrypted": "true"}
    return Response(status_code=201, headers=headers)


def _metadata(request: Request) -> dict[str, str]:
    start = "x-ms-meta-"
    return {key.removeprefix(start): value for key, value in request.headers.items() if key.startswith(start)}


def _validators(blob: Blob) -> dict[str, str]:
    return {
        "ETag": f'"{blob.etag}"',
        "Last-Modified": email.utils.formatdate(blob.modified, usegmt=True),
        "x-ms-version": BLOB_VERSION,
    }
