"""The admin API: faults, and what others than the client under test may do. It has a token of its own."""

import asyncio
import base64
import contextlib
import functools
import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pydantic
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from localazure.arm.bodies import json_object
from localazure.arm.errors import ArmError, BadRequest, Conflict, NotFound, reason_of
from localazure.arm.faults import Fault, Faults, Spec
from localazure.arm.identity import Identity
from localazure.arm.ids import Scope
from localazure.compute.runtime import Runtime
from localazure.core.clock import Clock
from localazure.extras.management import Management

ROOT = "/localazure"
MAX_WAIT_S = 60
_POLL_S = 0.02
_API_VERSION = "2025-12-01"


class Admin:
    """The pages below /localazure.

    `management` is the application that another writer talks to, without faults; `front` is what serves these pages.
    """

    def __init__(
        self,
        token: str,
        management: ASGIApp,
        front: Management,
        faults: Faults,
        identity: Identity,
        runtime: Runtime,
        scope: Scope,
        clock: Clock,
    ) -> None:
        self._token = token
        self._faults = faults
        self._identity = identity
        self._runtime = runtime
        self._scope = scope
        self._clock = clock
        self._management = management
        self._front = front

    def routes(self) -> list[Route]:
        """Return all of them, guarded."""
        endpoint = ROOT + "/endpoints/{endpoint}"
        return [
            self._route(ROOT + "/routes", self._routes, "GET"),
            self._route(ROOT + "/faults", self._list, "GET"),
            self._route(ROOT + "/faults", self._add, "POST"),
            self._route(ROOT + "/faults", self._clear, "DELETE"),
            self._route(ROOT + "/faults/{id}", self._one, "GET"),
            self._route(ROOT + "/faults/{id}", self._remove, "DELETE"),
            self._route(ROOT + "/tokens", self._tokens, "POST"),
            self._route(ROOT + "/crash", self._crash, "POST"),
            self._route(ROOT + "/crash", self._returns, "GET"),
            self._route(endpoint + "/traffic", self._traffic, "POST"),
            self._route(endpoint + "/keys", self._keys, "POST"),
            self._route(endpoint + "/outage", self._outage, "POST"),
            self._route(endpoint + "/outage", self._end_outage, "DELETE"),
            self._route(endpoint + "/deployments/{deployment}/kill", self._kill, "POST"),
        ]

    def guard_page(self, routes: list[Route]) -> list[Route]:
        """Return `routes`, for clients on loopback; others need the admin API's token, also as a browser's password."""
        return [
            Route(route.path, functools.partial(self._page, route.endpoint), methods=sorted(route.methods or []))
            for route in routes
        ]

    async def _page(self, endpoint: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        near = request.client and ipaddress.ip_address(request.client.host).is_loopback
        if near or self._admits(request) or self._admits_person(request):
            return await endpoint(request)
        error = ArmError(401, "Unauthorized", "From elsewhere the password is needed: LOCALAZURE_ADMIN_TOKEN.")
        return JSONResponse({"error": error.body()}, 401, {"WWW-Authenticate": 'Basic realm="Local Azure"'})

    def _admits(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode())

    def _admits_person(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        with contextlib.suppress(ValueError):
            _, _, password = base64.b64decode(given).partition(b":")
            return scheme.lower() == "basic" and secrets.compare_digest(password, self._token.encode())
        return False

    def _route(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def guarded(request: Request) -> Response:
            if not self._admits(request):
                raise ArmError(401, "Unauthorized", "The admin API needs its own token: see LOCALAZURE_ADMIN_TOKEN.")
            return await endpoint(request)

        return Route(path, guarded, methods=[method])

    async def _routes(self, request: Request) -> Response:
        """Return each path that local Azure answers, with its methods."""
        routes = (route for route in request.app.routes if isinstance(route, Route))
        found = [{"path": route.path, "methods": sorted(route.methods or [])} for route in routes]
        return JSONResponse({"value": found})

    async def _list(self, _request: Request) -> Response:
        return JSONResponse({"value": [_render(fault) for fault in self._faults]})

    async def _add(self, request: Request) -> Response:
        try:
            spec = Spec.model_validate(await json_object(request))
        except pydantic.ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, part['loc']))}: {part['msg'].removeprefix('Value error, ')}"
                for part in error.errors()
            )
            raise BadRequest(f"This is not a fault that local Azure knows: {problems}") from error
        return JSONResponse(_render(self._faults.add(spec)), 201)

    async def _clear(self, _request: Request) -> Response:
        for fault in self._faults:
            self._faults.remove(fault.id)
        await self._runtime.recover()
        return Response(status_code=204)

    async def _one(self, request: Request) -> Response:
        """Return the fault; with `hits`, once it has struck so often, or `timeout_s` is over.

        Raises:
            NotFound: It is not in force.
        """
        fault = self._faults.get(request.path_params["id"])
        if fault is None:
            raise NotFound(f"There is no fault '{request.path_params['id']}' in force.", "FaultNotFound")
        hits, timeout_s = _number(request, "hits", 0), min(_number(request, "timeout_s", 30), MAX_WAIT_S)
        try:
            async with asyncio.timeout(timeout_s), fault.hit:
                await fault.hit.wait_for(lambda: fault.hits >= hits)
        except TimeoutError:
            pass
        return JSONResponse(_render(fault))

    async def _remove(self, request: Request) -> Response:
        self._faults.remove(request.path_params["id"])
        return Response(status_code=204)

    async def _tokens(self, request: Request) -> Response:
        """Expire what was issued; `life_s` is how long later tokens live.

        Returns:
            204.

        Raises:
            BadRequest: `life_s` is not a positive integer.
        """
        life_s = (await json_object(request)).get("life_s", self._identity.token_life_s)
        if isinstance(life_s, bool) or not isinstance(life_s, int) or life_s < 1:
            raise BadRequest(f"life_s must be a positive integer, not {life_s!r}.")
        self._identity.token_life_s = life_s
        self._identity.expire_tokens()
        return Response(status_code=204)

    async def _crash(self, request: Request) -> Response:
        """Let the control plane end at once and come back `away_s` later; the gateway and the instances live on.

        Returns:
            How often it has come back so far; it ends a moment later.

        Raises:
            BadRequest: `away_s` is not a number from 0 to a minute.
        """
        away_s = (await json_object(request)).get("away_s")
        if isinstance(away_s, bool) or not isinstance(away_s, int | float) or not 0 <= away_s <= MAX_WAIT_S:
            raise BadRequest(f"away_s must be a number from 0 to {MAX_WAIT_S}, not {away_s!r}.")
        answer = await self._returns(request)
        asyncio.get_running_loop().call_later(_POLL_S, self._front.crash, away_s)  # the answer goes first
        return answer

    async def _returns(self, _request: Request) -> Response:
        return JSONResponse({"returns": self._front.returns})

    async def _traffic(self, request: Request) -> Response:
        """Let another writer set `traffic` or `mirrorTraffic`, or both, and `tags`.

        Returns:
            How it ended.
        """
        body = await json_object(request)
        async with self._somebody_else() as http:
            found = await self._endpoint(http, request)
            found["properties"] |= {key: body[key] for key in ("traffic", "mirrorTraffic") if key in body}
            found["tags"] = body.get("tags", found["tags"])
            return await self._follow(http, await http.put(self._path(request), json=found))

    async def _keys(self, request: Request) -> Response:
        """Let another writer regenerate the `keyType` key.

        Returns:
            How it ended.
        """
        body = await json_object(request)
        async with self._somebody_else() as http:
            return await self._follow(http, await http.post(f"{self._path(request)}/regenerateKeys", json=body))

    async def _outage(self, request: Request) -> Response:
        async with self._somebody_else() as http:
            await self._endpoint(http, request)
        await self._runtime.fail(request.path_params["endpoint"])
        return Response(status_code=204)

    async def _end_outage(self, request: Request) -> Response:
        await self._runtime.recover(request.path_params["endpoint"])
        return Response(status_code=204)

    async def _kill(self, request: Request) -> Response:
        count = (await json_object(request)).get("count", 1)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise BadRequest(f"count must be a positive integer, not {count!r}.")
        endpoint, deployment = request.path_params["endpoint"], request.path_params["deployment"]
        killed = self._runtime.kill(endpoint, deployment, count)
        if not killed:
            raise Conflict(f"The deployment '{deployment}' of '{endpoint}' has no instance that serves.")
        return JSONResponse({"killed": killed})

    async def _endpoint(self, http: httpx.AsyncClient, request: Request) -> dict[str, Any]:
        """Return the endpoint as it is.

        Raises:
            NotFound: There is none.
        """
        found: dict[str, Any] = (await http.get(self._path(request))).json()
        if "error" in found:
            raise NotFound(reason_of(found["error"])["message"])
        return found

    def _path(self, request: Request) -> str:
        return f"{self._scope.id}/onlineEndpoints/{quote(request.path_params['endpoint'], safe='')}"

    def _somebody_else(self) -> httpx.AsyncClient:
        """Return a client of the management plane whom no fault meets."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self._management),
            base_url=self._identity.base_url,
            headers={"Authorization": f"Bearer {self._identity.issue('admin')}"},
            params={"api-version": _API_VERSION},
        )

    async def _follow(self, http: httpx.AsyncClient, answer: httpx.Response) -> Response:
        """Wait until the operation has ended.

        Returns:
            204, or what refused it.

        Raises:
            ArmError: 409 where it has failed.
        """
        if answer.is_error:
            return Response(answer.content, answer.status_code, media_type="application/json")
        url = answer.headers.get("Azure-AsyncOperation") or answer.headers["Location"]
        url = url.replace("mfeOperationResults", "mfeOperationsStatus")  # keys have Location alone
        while (found := (await http.get(url)).json())["status"] not in ("Succeeded", "Failed"):
            await self._clock.sleep(_POLL_S)
        if found["status"] == "Failed":
            raise ArmError(409, found["error"]["code"], found["error"]["message"])
        return Response(status_code=204)


def _number(request: Request, name: str, default: float) -> float:
    """Return the query parameter.

    Raises:
        BadRequest: It is not a number of at least 0.
    """
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        raise BadRequest(f"{name} must be a number of at least 0, not {text!r}.")
    return float(text)


def _render(fault: Fault) -> dict[str, Any]:
    return {"id": fault.id, "hits": fault.hits, **fault.spec.model_dump(mode="json")}
