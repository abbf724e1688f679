"""Long-running operations: one at a time per resource, each with a page that tells how far it is."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.errors import ArmError, conflict, not_found
from localazure.arm.faults import NO_FAULT, Fate
from localazure.arm.ids import Scope, now
from localazure.core.clock import Change, Clock
from localazure.core.store import Document, Store

TIMEOUT = "PT90M"

log = logging.getLogger(__name__)


class Operations:
    """Starts operations as tasks and remembers how they ended.

    An operation is a coroutine; when it raises ArmError, the operation has failed with that code and message. One that
    an earlier process left under way goes on when it is started again on the same resource.
    """

    def __init__(self, store: Store, scope: Scope, base_url: str, location: str, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._base_url = base_url
        self._root = f"{scope.subscription_provider_id}/locations/{location}"
        self._running: dict[str, asyncio.Task[None]] = {}
        self._interrupted = {
            str(operation.get("resource", identifier)): identifier
            for identifier, operation in store.items("operation")
            if operation["status"] == "InProgress"
        }

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self._running)

    def busy(self, resource: str) -> bool:
        """Whether an operation on the resource is under way."""
        return resource.lower() in self._running

    def require_idle(self, resource: str, what: str) -> None:
        """Raise ArmError (409) if an operation on the resource is under way."""
        if self.busy(resource):
            raise conflict(f"{what} is being changed by another operation. Wait until it has reached a final state.")

    def start(
        self,
        resource: str,
        work: Callable[[], Awaitable[object]],
        settle: Callable[[ArmError | None], None],
        change: Change | None = None,
        result: Callable[[], Document] | None = None,
        fate: Fate = NO_FAULT,
    ) -> dict[str, str]:
        """Begin `work` on `resource` (any key that names it); returns the headers by which clients follow it.

        `settle` writes down how it ended, with the reason if it failed, in the transaction that ends the operation;
        `change` tells how long it takes, None that nobody has asked for it: then it is not remembered. `result` tells
        what it made, for clients that follow Location and expect the resource there. Raises ArmError (409) where
        another operation on the resource is under way.
        """
        key = resource.lower()
        self.require_idle(resource, f"The resource '{resource}'")
        resumed = self._interrupted.pop(key, None)
        identifier = resumed or str(uuid.uuid4())
        if change and not resumed:
            document = {"status": "InProgress", "startTime": now(), "change": change, "resource": key}
            self._store.put("operation", identifier, document)

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
        return {
            "Azure-AsyncOperation": f"{self._base_url}{self._root}/mfeOperationsStatus/{identifier}",
            "Location": f"{self._base_url}{self._root}/mfeOperationResults/{identifier}",
            **self._clock.retry_after(change),
            "x-ms-async-operation-timeout": TIMEOUT,
        }

    def end_interrupted(self) -> None:
        """End what an earlier process left under way and nobody has started again."""
        error = ArmError(500, "InternalServerError", "Local Azure was stopped while the operation was under way.")
        while self._interrupted:
            _, identifier = self._interrupted.popitem()
            change = (self._store.get("operation", identifier) or {}).get("change")
            gone = change in (Change.ENDPOINT_DELETE, Change.DEPLOYMENT_DELETE)  # there is nothing left to go on with
            self._end(identifier, None if gone else error)

    async def stop(self) -> None:
        """Cancel what is under way and wait for it."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def routes(self) -> list[Route]:
        """The two pages of an operation: its status, and its result."""
        root = "/subscriptions/{subscription}/providers/{provider}/locations/{location}"
        return [
            Route(root + "/mfeOperationsStatus/{identifier}", self._status, methods=["GET"]),
            Route(root + "/mfeOperationResults/{identifier}", self._result, methods=["GET"]),
        ]

    def _end(self, identifier: str, reason: ArmError | None, result: Document | None = None) -> None:
        operation = self._store.get("operation", identifier) or {}
        operation |= {"status": "Failed" if reason else "Succeeded", "endTime": now(), "result": result}
        if reason:
            operation["error"] = reason.body()
        self._store.put("operation", identifier, operation)

    def _operation(self, request: Request) -> tuple[str, dict[str, Any]]:
        identifier = request.path_params["identifier"]
        operation = self._store.get("operation", identifier)
        if operation is None:
            raise not_found(f"There is no operation '{identifier}'.", "OperationNotFound")
        return identifier, operation

    async def _status(self, request: Request) -> Response:
        identifier, operation = self._operation(request)
        shown = {key: value for key, value in operation.items() if key in ("status", "startTime", "endTime", "error")}
        body = {"id": request.url.path, "name": identifier, **shown}
        return JSONResponse(body, headers=self._retry_after(operation))

    async def _result(self, request: Request) -> Response:
        _, operation = self._operation(request)
        match operation["status"]:
            case "InProgress":
                headers = {"Location": str(request.url), **self._retry_after(operation)}
                return Response(status_code=202, headers=headers)
            case "Succeeded":
                return JSONResponse(operation["result"]) if operation.get("result") else Response()
        return JSONResponse({"error": operation["error"]}, 409)

    def _retry_after(self, operation: dict[str, Any]) -> dict[str, str]:
        name = operation.get("change")
        return self._clock.retry_after(Change(name) if name else None)


def _internal(error: Exception) -> ArmError:
    log.error("an operation failed", exc_info=error)
    return ArmError(500, "InternalServerError", f"Local Azure failed: {type(error).__name__}: {error}")
