"""Make a running local Azure go wrong: the admin API, from Python.

>>> with LocalAzure() as azure:
...     with azure.chaos.answer(503, method="PUT", path="onlineEndpoints/*", retry_after_s=1) as fault:
...         client.online_endpoints.begin_create_or_update(endpoint).result()
...     assert fault.hits == 1
"""

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import httpx
import tenacity

from localazure.arm.errors import LocalAzureError, reason_of

__all__ = ["AdminError", "Chaos", "Fault", "NotHit", "Where"]

TIMEOUT_S = 90
POLL_S = 0.05


class AdminError(LocalAzureError):
    """The admin API refused; the message says why."""


class NotHit(AssertionError):
    """The fault did not strike in time: an AssertionError, since that fails a test, and nothing went wrong here."""


class Where(TypedDict, total=False):
    """Which requests a fault is for.

    `method` "*" and `path` "**" are all. In a path, `*` is any part without a slash and `**` any part; it is what comes
    after the workspace's path (`onlineEndpoints/*/deployments/*`) or, with a leading slash, the whole path. `times` is
    how many go wrong (1 unless given; None for all), `skip` how many are let through before.
    """

    method: str
    path: str
    times: int | None
    skip: int


class Fault:
    """A fault in force, until it is removed or the `with` block ends."""

    def __init__(self, chaos: "Chaos", document: Mapping[str, Any]) -> None:
        self.id = str(document["id"])
        self._chaos = chaos
        self._hits = int(document["hits"])

    @property
    def hits(self) -> int:
        """How often it has struck; after its removal, as often as it had then."""
        return self._look(0, 0)

    def wait(self, hits: int = 1, timeout_s: float = 30) -> None:
        """Wait until it has struck so often.

        Raises:
            NotHit: It did not in time.
        """
        if (seen := self._look(hits, timeout_s)) < hits:
            raise NotHit(f"the fault struck {seen} times within {timeout_s:g} s, not {hits}")

    def remove(self) -> None:
        """End it; operations that hang because of it go on."""
        self._look(0, 0)
        self._chaos.ask("DELETE", f"/faults/{self.id}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def _look(self, hits: int, timeout_s: float) -> int:
        found = self._chaos.ask("GET", f"/faults/{self.id}?hits={hits}&timeout_s={timeout_s}", missing={})
        self._hits = found.get("hits", self._hits)
        return self._hits


class Chaos:
    """What can be made to go wrong. The variables of a local Azure (`localazure env`) are all that it needs."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._http = httpx.Client(
            base_url=environ["LOCALAZURE_ADMIN_URL"],
            headers={"Authorization": f"Bearer {environ['LOCALAZURE_ADMIN_TOKEN']}"},
            verify=ssl.create_default_context(cafile=environ["SSL_CERT_FILE"]),
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections; faults stay in force."""
        self._http.close()

    def answer(
        self,
        status: int,
        *,
        code: str = "ServiceUnavailable",
        retry_after_s: int | None = None,
        after: bool = False,
        **where: Unpack[Where],
    ) -> Fault:
        """Answer requests with a status of 400 and more; `after` they have taken effect, or without looking at them.

        Returns:
            The fault.
        """
        return self._add("answer", where, status=status, code=code, retry_after_s=retry_after_s, after=after)

    def delay(self, seconds: float, **where: Unpack[Where]) -> Fault:
        """Let requests wait before they are looked at.

        Returns:
            The fault.
        """
        return self._add("delay", where, seconds=seconds)

    def reset(self, *, after: bool = False, **where: Unpack[Where]) -> Fault:
        """Reset the connection, `after` the request has taken effect or before it is looked at.

        Returns:
            The fault.
        """
        return self._add("reset", where, after=after)

    def fail(
        self,
        code: str = "InternalServerError",
        message: str = "The operation failed. (A fault that was asked for.)",
        *,
        after: bool = False,
        **where: Unpack[Where],
    ) -> Fault:
        """Let operations fail that the requests start, `after` they have taken effect or before.

        Returns:
            The fault.
        """
        return self._add("fail", where, code=code, message=message, after=after)

    def hang(self, **where: Unpack[Where]) -> Fault:
        """Let operations that the requests start be InProgress until the fault is removed; then they go on.

        Returns:
            The fault.
        """
        return self._add("hang", where)

    def stale(self, seconds: float, **where: Unpack[Where]) -> Fault:
        """Let every GET see endpoints and deployments as they were some seconds ago.

        Returns:
            The fault.
        """
        return self._add("stale", {"times": None, **where}, seconds=seconds)

    def disk_full(self) -> Fault:
        """Leave no space for uploads and for the files of new deployments.

        Returns:
            The fault.
        """
        return self._add("disk-full", {"times": None})

    @contextlib.contextmanager
    def outage(self, endpoint: str) -> Iterator[None]:
        """Let every scoring request to the endpoint be answered 500 while the block lasts: Azure's own part fails."""
        self.ask("POST", f"/endpoints/{endpoint}/outage")
        try:
            yield
        finally:
            self.ask("DELETE", f"/endpoints/{endpoint}/outage")

    def clear(self) -> None:
        """End all faults and outages."""
        self.ask("DELETE", "/faults")

    def crash(self, away_s: float = 1) -> None:
        """Let the control plane end at once, as if its process was killed; the gateway and the instances live on.

        It comes back so many seconds later, with what it has written down, and goes on with operations that were under
        way. Returns when it has.

        Raises:
            AdminError: It did not come back.
        """
        before = self.ask("POST", "/crash", {"away_s": away_s})["returns"]
        looking = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(httpx.TransportError)
            | tenacity.retry_if_result(lambda returns: returns <= before),
            wait=tenacity.wait_fixed(POLL_S),
            stop=tenacity.stop_after_delay(away_s + TIMEOUT_S),
        )
        try:
            looking(lambda: int(self.ask("GET", "/crash")["returns"]))
        except tenacity.RetryError:
            raise AdminError(f"the control plane did not come back within {away_s + TIMEOUT_S:g} s") from None

    def expire_tokens(self, life_s: int = 3600) -> None:
        """Let every management token that was issued be expired; new ones live for `life_s`."""
        self.ask("POST", "/tokens", {"life_s": life_s})

    def set_traffic(
        self,
        endpoint: str,
        traffic: Mapping[str, int] | None = None,
        mirror: Mapping[str, int] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Be another writer, who changes the endpoint's traffic, mirror traffic or tags. Returns when it is done."""
        given = {"traffic": traffic, "mirrorTraffic": mirror, "tags": tags}
        body = {key: dict(value) for key, value in given.items() if value is not None}
        self.ask("POST", f"/endpoints/{endpoint}/traffic", body)

    def rotate_key(self, endpoint: str, key: str = "primary") -> None:
        """Be another writer, who regenerates the endpoint's `primary` or `secondary` key. Returns when it is done."""
        self.ask("POST", f"/endpoints/{endpoint}/keys", {"keyType": key})

    def kill_instance(self, endpoint: str, deployment: str, count: int = 1) -> None:
        """Kill that many of the deployment's instances, as a node does that fails. They are replaced."""
        self.ask("POST", f"/endpoints/{endpoint}/deployments/{deployment}/kill", {"count": count})

    def ask(self, method: str, path: str, body: Any = None, missing: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request to the admin API.

        Returns:
            The response; `missing` for a 404, where that is given.

        Raises:
            AdminError: The admin API refused.
        """
        answer = self._http.request(method, path, json=body)
        if answer.status_code == 404 and missing is not None:
            return missing
        if answer.is_error:
            raise AdminError(reason_of(answer.json()["error"])["message"])
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def _add(self, kind: str, where: Where, **settings: Any) -> Fault:
        return Fault(self, self.ask("POST", "/faults", {"kind": kind, **where, **settings}))
