"""Long-running operations: one at a time per resource, each with a page that says how far it is."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.documents import Document, Json
from localazure.arm.errors import ArmError, Conflict, NotFound
from localazure.arm.faults import NO_FAULT, Fate
from localazure.arm.ids import Scope
from localazure.arm.signatures import sign
from localazure.core.clock import Change, Clock, now
from localazure.core.store import Store
from localazure.core.tables import Table

TIMEOUT = "PT30M"
NOT_ENDED = "0001-01-01T00:00:00+00:00"
"""The end of an operation that has none yet."""

log = logging.getLogger(__name__)


class ErrorBody(Document):
    """Why an operation failed, in ARM's words."""

    code: str
    message: str
    details: list[Json]
    additional_info: list[Json]


class Operation(Document):
    """What is kept of an operation that a client has asked for."""

    status: Literal["InProgress", "Succeeded", "Failed"]
    start_time: str
    change: Change | None = None
    """None in states of an older version."""
    resource: str = ""
    end_time: str | None = None
    result: Json | None = None
    error: ErrorBody | None = None


def operations_table(store: Store) -> Table[Operation]:
    """Return all operations by their id."""
    return Table(store, "operation", Operation)


class Operations:
    """Starts operations as tasks and remembers how they ended.

    An operation is a coroutine; when it raises ArmError, the operation has failed with that code and message. One that
    an earlier process left under way goes on when it is started again on the same resource.
    """

    def __init__(self, store: Store, scope: Scope, base_url: str, location: str, clock: Clock) -> None:
        self._store = store
        self._table = operations_table(store)
        self._clock = clock
        self._base_url = base_url
        self._workspace_id = scope.workspace_id
        self._root = f"{scope.subscription_provider_id}/locations/{location}"
        self._running: dict[str, asyncio.Task[None]] = {}
        self._interrupted: dict[str, str] = {}
        self.recall()

    def recall(self) -> None:
        """Find those that are under way and that nobody is at work on by now."""
        self._interrupted = {
            operation.resource or identifier: identifier
            for identifier, operation in self._table.items()
            if operation.status == "InProgress"
        }

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self._running)

    def busy(self, resource: str) -> bool:
        """Return whether an operation on the resource is under way."""
        return resource.lower() in self._running

    def require_idle(self, resource: str, what: str) -> None:
        """Check that no operation on the resource is under way.

        Raises:
            Conflict: One is.
        """
        if self.busy(resource):
            raise Conflict(f"{what} is being changed by another operation. Wait until it has reached a final state.")

    def start(
        self,
        resource: str,
        work: Callable[[], Awaitable[object]],
        settle: Callable[[ArmError | None], None],
        change: Change | None = None,
        result: Callable[[], Json] | None = None,
        fate: Fate = NO_FAULT,
    ) -> str:
        """Begin `work` on `resource`.

        Args:
            resource: Any key that names it.
            work: What is done; when it raises, the operation has failed.
            settle: Writes down how it ended, with the reason if it failed, in the transaction that ends the operation.
            change: What it is, which says how long it takes; None where nobody has asked for it: then it is not
                remembered.
            result: Returns what it made, for clients that follow Location and expect the resource there.
            fate: What becomes of it, as faults have it.

        Returns:
            Its id; `headers` are those by which clients follow it.

        Raises:
            Conflict: Another operation on the resource is under way.
        """
        key = resource.lower()
        self.require_idle(resource, f"The resource '{resource}'")
        resumed = self._interrupted.pop(key, None)
        identifier = resumed or f"{_prefix(key)}:{self._workspace_id}:{uuid.uuid4()}"
        if change and not resumed:
            self._table.put(identifier, Operation(status="InProgress", start_time=now(), change=change, resource=key))

        async def run() -> None:
            reason: ArmError | None = None
            try:
                if not resumed:
                    await self._clock.spend(change)
                await fate.begin()
                await work()
                fate.end()
            except asyncio.CancelledError:
                raise  # local Azure stops; the next one on this state goes on
            except Exception as error:  # noqa: BLE001 - clients must not wait for ever
                reason = error if isinstance(error, ArmError) else _internal(error)
            finally:
                self._running.pop(key, None)
            with self._store.transaction():
                settle(reason)
                if change or resumed:
                    self._end(identifier, reason, result() if result and not reason else None)

        self._running[key] = asyncio.create_task(run(), name=f"operation on {resource}")
        return identifier

    def headers(self, identifier: str, request: Request, resource_id: str | None = None) -> dict[str, str]:
        """Return the headers by which clients follow the operation that `request` has begun.

        Args:
            identifier: Of the operation.
            request: Its `api-version` is that of the addresses.
            resource_id: Where Location leads: to the resource or, without one, to the operation's result.
        """
        version = api_version(request)
        query = sign(identifier, version)
        result = f"{self._root}/mfeOperationResults/{identifier}?{query}"
        operation = self._table.get(identifier)
        return {
            "Azure-AsyncOperation": f"{self._base_url}{self._root}/mfeOperationsStatus/{identifier}?{query}",
            "Location": self._base_url + (f"{resource_id}?api-version={version}" if resource_id else result),
            **self._clock.hurry(operation.change if operation else None),
            "x-ms-async-operation-timeout": TIMEOUT,
        }

    def address(self, identifier: str, version: str) -> str:
        """Return where its status is, as resources show it: without a signature."""
        return f"{self._base_url}{self._root}/mfeOperationsStatus/{identifier}?api-version={version}"

    def end_interrupted(self) -> None:
        """End what an earlier process left under way and nobody has started again."""
        error = ArmError(500, "InternalServerError", "Local Azure was stopped while the operation was under way.")
        while self._interrupted:
            _, identifier = self._interrupted.popitem()
            operation = self._table.get(identifier)
            gone = operation and operation.change in (Change.ENDPOINT_DELETE, Change.DEPLOYMENT_DELETE)
            self._end(identifier, None if gone else error)  # of what is gone there is nothing left to go on with

    async def stop(self) -> None:
        """Cancel what is under way, and what is begun meanwhile, and wait for it."""
        while self._running:
            tasks = list(self._running.values())
            self._running.clear()  # one that is cancelled before its first step does not do so itself
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def routes(self) -> list[Route]:
        """Return the two pages of an operation: its status, and its result."""
        root = "/subscriptions/{subscription}/providers/{provider}/locations/{location}"
        return [
            Route(root + "/mfeOperationsStatus/{identifier}", self._status, methods=["GET"]),
            Route(root + "/mfeOperationResults/{identifier}", self._result, methods=["GET"]),
        ]

    def _end(self, identifier: str, reason: ArmError | None, result: Json | None = None) -> None:
        operation = self._table.get(identifier)
        if operation is None:
            return
        operation.status = "Failed" if reason else "Succeeded"
        operation.end_time = now()
        operation.result = result
        if reason:
            operation.error = ErrorBody.model_validate(reason.body())
        self._table.put(identifier, operation)

    def _operation(self, request: Request) -> tuple[str, Operation]:
        identifier = request.path_params["identifier"]
        operation = self._table.get(identifier)
        if operation is None:
            raise NotFound(f"There is no operation '{identifier}'.", "OperationNotFound")
        return identifier, operation

    async def _status(self, request: Request) -> Response:
        identifier, operation = self._operation(request)
        body: Json = {
            "id": request.url.path,
            "name": identifier,
            "startTime": operation.start_time,
            "endTime": operation.end_time or NOT_ENDED,
            "percentComplete": 0.0,
            "status": "Updating" if operation.status == "InProgress" else operation.status,
        }
        if operation.error:
            body["error"] = operation.error.as_json()
        return JSONResponse(body, headers=self._clock.hurry(operation.change))

    async def _result(self, request: Request) -> Response:
        _, operation = self._operation(request)
        match operation.status:
            case "InProgress":
                headers = {"Location": str(request.url), **self._clock.hurry(operation.change)}
                return Response(status_code=202, headers=headers)
            case "Succeeded":
                return JSONResponse(operation.result) if operation.result else Response()
        return JSONResponse({"error": operation.error.as_json() if operation.error else {}}, 409)


def api_version(request: Request) -> str:
    """Return the request's `api-version`."""
    return request.query_params.get("api-version", "")


def _prefix(resource: str) -> str:
    return "odidp" if "/deployments/" in resource else "oeidp"


def _internal(error: Exception) -> ArmError:
    log.error("an operation failed", exc_info=error)
    return ArmError(500, "InternalServerError", f"Local Azure failed: {type(error).__name__}: {error}")
