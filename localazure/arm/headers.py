"""The headers of every management answer: ids, caching, security, who served it."""

import datetime
import re
import uuid
from dataclasses import dataclass, field

from localazure.arm.ids import PROVIDER

_READ_WITHOUT_IDENTIFIER = re.compile(
    r"/workspaces/[^/]+(?:/onlineEndpoints(?:/[^/]+(?:/deployments(?:/[^/]+)?)?)?)?$", re.I
)
_DEPLOYMENTS = re.compile(r"/onlineEndpoints/[^/]+/deployments$", re.I)
_NOT_COMPRESSED = re.compile(r"/(listKeys|listSecrets)$", re.I)
_EMPTY_LIST_BYTES = len('{"value":[]}')

_FOR_EVERYTHING = {
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Expires": "-1",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Cache": "CONFIG_NOCACHE",
}


@dataclass(frozen=True)
class Asked:
    """What of a request the headers of its answer depend on."""

    method: str
    path: str
    headers: dict[str, str]
    """By their names in small letters."""
    correlation_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def is_management(self) -> bool:
        """Whether it is for the management plane; tokens, blobs and pages answer as they do."""
        return self.path.startswith("/subscriptions/")


@dataclass(frozen=True)
class Answered:
    """What of an answer its headers depend on."""

    status: int
    body_bytes: int
    by_service: bool
    """Whether the request got as far as the service; ARM answers others itself."""
    elapsed_s: float


@dataclass(frozen=True)
class Server:
    """The server that names itself in the headers of an answer."""

    location: str
    tenant_id: str
    object_id: str
    application_id: str


def answer_headers(asked: Asked, answered: Answered, server: Server) -> dict[str, str]:
    """Return what Azure adds to the answer; nothing to one that is not of the management plane."""
    if not asked.is_management:
        return {}
    moment = datetime.datetime.now(datetime.UTC)
    headers = {
        **_FOR_EVERYTHING,
        "X-MSEdge-Ref": f"Ref A: {uuid.uuid4().hex.upper()} Ref B: LOCAL Ref C: {moment:%Y-%m-%dT%H:%M:%SZ}",
        "x-ms-correlation-request-id": asked.correlation_id,
        "x-ms-request-id": asked.correlation_id,
        "x-ms-routing-request-id": f"{server.location.upper()}:{moment:%Y%m%dT%H%M%SZ}:{asked.correlation_id}",
    }
    if asked.headers.get("x-ms-return-client-request-id", "").lower() == "true":
        headers["x-ms-client-request-id"] = asked.headers.get("x-ms-client-request-id", "")
    if answered.by_service and answered.status != 204:
        headers |= _of_service(asked, answered, server)
    return headers


def _of_service(asked: Asked, answered: Answered, server: Server) -> dict[str, str]:
    headers = {
        "Request-Context": f"appId=cid-v1:{server.application_id}",
        "x-ms-response-type": "error" if answered.status >= 400 else "standard",
        "x-request-time": f"{answered.elapsed_s:.3f}",
        "azureml-served-by-cluster": f"vienna-{server.location}-01",
    }
    compressible = answered.status in (200, 404) and not _NOT_COMPRESSED.search(asked.path)
    if compressible and answered.body_bytes > _EMPTY_LIST_BYTES:
        headers["Vary"] = "Accept-Encoding"
    if not (
        asked.method == "GET"
        and f"/{PROVIDER}/workspaces" in asked.path
        and _READ_WITHOUT_IDENTIFIER.search(asked.path)
    ):
        whose = f"tenantId={server.tenant_id},objectId={server.object_id}"
        headers["x-ms-operation-identifier"] = f"{whose}/{server.location}/{uuid.uuid4()}"
    if asked.method == "GET" and _DEPLOYMENTS.search(asked.path):
        headers["x-ms-original-request-ids"] = ""
    return headers
