"""Scoring requests: the only module that sends them, straight over HTTP, so that nothing retries or hides an error."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from saferollout.config.recorded_requests import Compare, RecordedRequest
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import AzureFailed
from saferollout.domain.json_text import read_json_text

PIN = "azureml-model-deployment"
"""Names a deployment: of a request, the one that is to answer it; of an answer, the one that gave it."""
OWN_REQUESTS = "saferollout-"
"""How the client request ids of the rollout's own requests begin: the traffic log tells them from users' by this."""
_NEVER_JSON = ("image/", "audio/", "video/", "font/")
TIMEOUT_S = 185.0  # Azure cuts a request off after 180 s at the latest


class Response(Value):
    """What came back for one request."""

    status: int
    """The HTTP status; 0 when no answer came at all."""
    latency_ms: float
    body: Any = None
    """The answer's JSON, also where it is JSON text within JSON; its text where it is not JSON.

    Of bytes that are neither, a text that differs where they do; None where answers are not compared.
    """
    error: str = ""
    """Why there is no answer, or why the answer is an error in spite of status 200, in one line; else empty."""
    deployment: str = ""
    """Who answered, where the endpoint says so."""

    @property
    def ok(self) -> bool:
        """Whether the request was answered with 200, and not with an error inside."""
        return self.status == 200 and not self.error


class Scorer:
    """Sends requests to an endpoint, to the deployment that its traffic says or to the one that the caller pins.

    Where the endpoint no longer takes the secret (401), `renew` gets a new one and the request is sent once more.
    """

    def __init__(
        self,
        uri: str,
        secret: str,
        *,
        renew: Callable[[], Awaitable[str]] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._uri = uri
        self._secret = secret
        self._renew = renew
        self._renewal = asyncio.Lock()
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def score(self, request: Any, *, deployment: str | None = None, own: bool = False) -> Response:
        """Send a recorded request, or a JSON body; never raises for what the endpoint or the way to it does.

        One that is pinned, or the rollout's `own`, is marked, so that it is not taken for a user's.

        Raises:
            AzureFailed: The endpoint no longer takes the secret, and Azure did not give another.
        """
        secret = self._secret
        recorded = request if isinstance(request, RecordedRequest) else RecordedRequest(request=request)
        marked = {"x-ms-client-request-id": f"{OWN_REQUESTS}{uuid.uuid4().hex[:24]}"} if deployment or own else {}
        headers = marked | ({PIN: deployment} if deployment else {})  # an id may have 40 characters
        answer = await self._score(recorded, headers, secret)
        if answer.status != 401 or self._renew is None:
            return answer
        renewed = await self._renewed(secret, self._renew)
        return answer if renewed == secret else await self._score(recorded, headers, renewed)

    async def _renewed(self, refused: str, renew: Callable[[], Awaitable[str]]) -> str:
        """The secret after one was refused; however many requests it was refused to, it is renewed once."""
        async with self._renewal:
            if self._secret == refused:
                self._secret = await renew()
            if self._secret == refused:  # then there is no other
                self._renew = None
            return self._secret

    async def _score(self, recorded: RecordedRequest, headers: dict[str, str], secret: str) -> Response:
        begun = time.perf_counter()
        headers = {"Authorization": f"Bearer {secret}"} | headers
        headers |= {"Content-Type": recorded.content_type} if recorded.content_type else {}
        sent: dict[str, Any] = {"json": recorded.request} if recorded.body is None else {"content": recorded.body}
        try:
            response = await self._client.post(self._uri, headers=headers, **sent)
        except httpx.HTTPError as error:
            return Response(status=0, latency_ms=_ms_since(begun), error=f"{type(error).__name__}: {error}".strip(": "))
        latency_ms = _ms_since(begun)
        body, problem = _read(response, recorded.compare)
        return Response(
            status=response.status_code,
            latency_ms=latency_ms,
            body=body,
            error=problem if response.status_code == 200 else _reason(response),
            deployment=response.headers.get(PIN, ""),
        )


def check_key(answers: Sequence[Response]) -> None:
    """Check that the endpoint took its own key, or token, by the answers of each deployment to one request.

    A 401 that not every deployment gives is that deployment's own: in a Kubernetes cluster, that of its container.

    Raises:
        AzureFailed: It did not; with the one that the endpoint has by now, it may.
    """
    if all(answer.status == 401 for answer in answers):
        msg = f"the endpoint no longer accepts its own key or token: {answers[0].error}"
        raise AzureFailed(msg, status=401, retryable=True)


def _ms_since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


def _read(response: httpx.Response, compare: Compare | None) -> tuple[Any, str]:
    """What an answer says, as answers are compared, and why it is an error in spite of its status, if it is one."""
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if compare is Compare.NONE:
        return None, ""
    if compare is Compare.BYTES or (compare is None and media.startswith(_NEVER_JSON)):
        return _digest(response, media), ""
    try:
        return read_json_text(response.json()), ""
    except ValueError:
        problem = f"200, but the answer is not JSON ({media or 'without a type'})" if compare is Compare.JSON else ""
    is_text = media.startswith("text/") or _is_utf8(response.content)
    return response.text if is_text else _digest(response, media), problem


def _digest(response: httpx.Response, media: str) -> str:
    content = response.content
    return f"{media or 'bytes'} of {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()[:32]}"


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _reason(response: httpx.Response) -> str:
    parts = [
        str(response.status_code),
        response.headers.get("ms-azureml-model-error-statuscode", ""),
        response.headers.get("ms-azureml-model-error-reason", "") or " ".join(response.text.split())[:200],
    ]
    return " ".join(part for part in parts if part)
