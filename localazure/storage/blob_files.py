"""The bytes of blobs, from requests to files."""

import base64
import hashlib
import os
from pathlib import Path

from starlette.requests import Request

from localazure.arm.errors import BlobError

MAX_BLOB_BYTES = 5 * 1024**3


def join(parts: list[Path], target: Path) -> str:
    """Write all parts to `target`, in order.

    Returns:
        The MD5 in base64.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with target.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                while piece := source.read(1024 * 1024):
                    digest.update(piece)
                    file.write(piece)
    return base64.b64encode(digest.digest()).decode()


async def receive(request: Request, path: Path) -> str:
    """Write the body to `path`, and nothing when it is not whole.

    Returns:
        Its MD5 in base64.

    Raises:
        BlobError: It is too large, or was damaged on the way.
    """
    digest = hashlib.md5(usedforsecurity=False)  # what the protocol carries, against damage on the way
    size = 0
    if int(request.headers.get("content-length", "0")) > MAX_BLOB_BYTES:
        raise BlobError(413, "RequestBodyTooLarge", f"A blob may have at most {MAX_BLOB_BYTES} bytes.")
    temporary = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BLOB_BYTES:
                    raise BlobError(413, "RequestBodyTooLarge", f"A blob may have at most {MAX_BLOB_BYTES} bytes.")
                digest.update(chunk)
                file.write(chunk)
        md5 = base64.b64encode(digest.digest()).decode()
        if request.headers.get("content-md5", md5) != md5:
            raise BlobError(400, "Md5Mismatch", "The MD5 value specified in the request did not match.")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return md5
