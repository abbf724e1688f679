"""Faults on demand: which requests go wrong, how, and how often."""

import asyncio
import enum
import itertools
import re
from collections.abc import Callable
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localazure.arm.errors import ArmError
from localazure.core.clock import Clock
from localazure.core.disk import Disk

EXEMPT = ("/localazure", "/metrics")
"""Paths that no fault touches: whoever makes faults must be able to end them."""
SCORING = "/endpoints"
"""What scoring addresses begin with, which belong to the gateway."""


class Kind(enum.StrEnum):
    """The way in which a request goes wrong."""

    ANSWER = "answer"
    """The request is answered with `status`, before it is looked at or, with `after`, when it has taken effect."""
    DELAY = "delay"
    """The request waits for `seconds` before it is looked at."""
    RESET = "reset"
    """The connection is reset, before the request is looked at or, with `after`, when it has taken effect."""
    FAIL = "fail"
    """The operation that the request starts fails with `code` and `message`; `after`: when it has taken effect."""
    HANG = "hang"
    """The operation that the request starts does not end as long as the fault is there."""
    STALE = "stale"
    """What GET reads of endpoints and deployments is as it was `seconds` ago."""
    DISK_FULL = "disk-full"
    """There is no space for uploads and for the files of deployments."""


class Spec(BaseModel):
    """A fault, and the requests that it is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    method: str = "*"
    """The method of the requests that the fault is for; `*` for all."""
    path: str = "**"
    """`*` is any part of a path without a slash, `**` any part. With a leading slash the whole path counts, else what
    comes after the workspace's. Case does not matter."""
    times: Annotated[int, Field(ge=1)] | None = 1
    """How many requests or operations, None for all."""
    skip: Annotated[int, Field(ge=0)] = 0
    """How many are let through before."""
    after: bool = False
    status: Annotated[int, Field(ge=400, le=599)] = 503
    code: str = "ServiceUnavailable"
    message: str = "The service is unavailable. (A fault that was asked for.)"
    retry_after_s: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0, le=3600)] = 0

    @field_validator("path")
    @classmethod
    def _can_strike(cls, path: str) -> str:
        """Refuse a path that no fault can strike: such a fault would look like one that was got over.

        Returns:
            The path.

        Raises:
            ValueError: No fault acts on it.
        """
        beginning = path.lower().partition("*")[0]
        if beginning.startswith(SCORING):
            raise ValueError(
                f"faults act on the management port, and {path} is scored through the gateway: for scoring, make an"
                " outage, kill an instance, move the traffic, rotate the key, or deploy code that fails"
            )
        if path == "/" or beginning.startswith(EXEMPT):
            raise ValueError(f"no fault acts on {path}: the admin API, the page and the metrics always answer")
        return path

    @model_validator(mode="after")
    def _has_a_method_to_strike(self) -> Self:
        if self.kind is Kind.STALE and self.method not in ("*", "GET"):
            raise ValueError(f"stale is for GET, not for {self.method}")
        if self.kind in (Kind.FAIL, Kind.HANG) and self.method == "GET":
            raise ValueError(f"{self.kind} is for operations, which GET starts none of")
        return self


class Fault:
    """A fault in force."""

    def __init__(self, identifier: str, spec: Spec) -> None:
        self.id = identifier
        self.spec = spec
        self.hits = 0
        self.hit = asyncio.Condition()
        self.removed = asyncio.Event()
        self._seen = 0
        self._path = _pattern(spec.path)

    def concerns(self, method: str, path: str) -> bool:
        """Return whether the request is one that the fault is for, if its number has come."""
        if self.spec.method.upper() not in ("*", method.upper()):
            return False
        _, _, below = path.partition("/workspaces/")
        _, _, relative = below.partition("/")
        return bool(self._path.fullmatch(path) or (relative and self._path.fullmatch(relative)))

    async def takes(self) -> bool:
        """Count one that the fault is for.

        Returns:
            Whether it goes wrong.
        """
        self._seen += 1
        spec = self.spec
        if self._seen <= spec.skip or (spec.times is not None and self.hits >= spec.times):
            return False
        async with self.hit:
            self.hits += 1
            self.hit.notify_all()
        return True


class Fate:
    """What will become of the operation that a request starts."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults
        self._failing: list[Fault] = []

    async def begin(self) -> None:
        """Wait as long as the operation hangs. To be awaited before it takes effect.

        Raises:
            ArmError: It shall fail without.
        """
        for fault in self._faults:
            if await fault.takes():
                if fault.spec.kind is Kind.HANG:
                    await fault.removed.wait()
                else:
                    self._failing.append(fault)
        self._fail(after=False)

    def end(self) -> None:
        """End the operation. To be called when it has taken effect.

        Raises:
            ArmError: It shall fail nevertheless.
        """
        self._fail(after=True)

    def _fail(self, after: bool) -> None:
        for fault in self._failing:
            if fault.spec.after is after:
                raise ArmError(500, fault.spec.code, fault.spec.message)


NO_FAULT = Fate([])
"""Of an operation that no request starts, or one that no fault concerns."""


def fate_of(request: Request) -> Fate:
    """Return what will become of the operation that the request starts."""
    fate: Fate = getattr(request.state, "fate", NO_FAULT)
    return fate


def moment_of(request: Request) -> float | None:
    """Return the moment, of `time.monotonic`, as of which the request reads endpoints and deployments; None for now."""
    moment: float | None = getattr(request.state, "moment", None)
    return moment


class Faults:
    """All faults in force, and the layer before the application that brings them about.

    `cut` resets the connection from a client's (host, port).
    """

    def __init__(self, clock: Clock, disk: Disk, cut: Callable[[tuple[str, int]], None]) -> None:
        self._clock = clock
        self._disk = disk
        self._cut = cut
        self._numbers = itertools.count(1)
        self._faults: dict[str, Fault] = {}

    def __iter__(self) -> itertools.chain[Fault]:
        return itertools.chain(list(self._faults.values()))

    def get(self, identifier: str) -> Fault | None:
        """Return the fault, while it is in force."""
        return self._faults.get(identifier)

    def add(self, spec: Spec) -> Fault:
        """Put a fault in force, behind those that are.

        Returns:
            The fault.
        """
        fault = Fault(str(next(self._numbers)), spec)
        self._faults[fault.id] = fault
        self._disk.full = self._disk.full or spec.kind is Kind.DISK_FULL
        return fault

    def remove(self, identifier: str) -> None:
        """End a fault, if it is in force; operations that hang because of it go on."""
        if fault := self._faults.pop(identifier, None):
            fault.removed.set()
        self._disk.full = any(fault.spec.kind is Kind.DISK_FULL for fault in self)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with the faults before it."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] == "/" or scope["path"].startswith(EXEMPT):
                await app(scope, receive, send)
            else:
                await self._handle(app, scope, receive, send)

        return handle

    async def _handle(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        concerned = [fault for fault in self if fault.concerns(scope["method"], scope["path"])]
        state = scope.setdefault("state", {})
        state["fate"] = Fate([fault for fault in concerned if fault.spec.kind in (Kind.FAIL, Kind.HANG)])
        for fault in concerned:
            match fault.spec.kind:
                case Kind.DELAY if await fault.takes():
                    await self._clock.sleep(fault.spec.seconds)
                case Kind.STALE if scope["method"] == "GET" and await fault.takes():
                    state["moment"] = self._clock.monotonic() - fault.spec.seconds
                case Kind.ANSWER | Kind.RESET if await fault.takes():
                    if fault.spec.after:
                        await app(scope, receive, _nowhere)
                    await self._go_wrong(fault.spec, scope, receive, send)
                    return
        await app(scope, receive, send)

    async def _go_wrong(self, spec: Spec, scope: Scope, receive: Receive, send: Send) -> None:
        if spec.kind is Kind.ANSWER:
            headers = {} if spec.retry_after_s is None else {"Retry-After": str(spec.retry_after_s)}
            body = ArmError(spec.status, spec.code, spec.message).body()
            await JSONResponse({"error": body}, spec.status, headers)(scope, receive, send)
            return
        self._cut(tuple(scope["client"]))
        while (await receive())["type"] != "http.disconnect":
            pass


async def _nowhere(_message: Message) -> None:
    pass


def _pattern(path: str) -> re.Pattern[str]:
    parts = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*?)", path)), re.IGNORECASE)
