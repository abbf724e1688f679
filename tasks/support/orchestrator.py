"""Prefect's server in trouble, as its client shows it."""

import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import tenacity
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

T = TypeVar("T")
AGAIN_S = 2.0


def is_unknown(error: ObjectNotFound) -> bool:
    """Whether Prefect's server itself says that there is no such thing: a proxy, or another path, is not Prefect's."""
    response = getattr(error.http_exc, "response", None)
    try:
        said = response.json() if response is not None else None
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("detail", "Not Found") != "Not Found"  # the latter is a web server's


async def if_known(read: Awaitable[T]) -> T | None:
    """What Prefect's client reads; None if the server itself says that there is no such thing.

    Raises:
        ObjectNotFound: What answers is not Prefect's server.
    """
    try:
        return await read
    except ObjectNotFound as error:
        if not is_unknown(error):
            raise
        return None


def passing(error: BaseException) -> bool:
    """Whether Prefect's server may take the same call later: it is away, busy or throttles; never a refusal.

    What answers may also be something else that is in its place meanwhile, as a page that wants a login.
    """
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or not error.response.is_client_error
    return isinstance(error, httpx.RequestError | json.JSONDecodeError)


async def insist(call: Callable[[], Awaitable[T]], grace_s: float) -> T:
    """Do something that may be done twice, again while Prefect's server fails, for `grace_s` seconds."""

    async def attempt() -> T:  # tenacity awaits no lambda
        return await call()

    trying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(passing),
        wait=tenacity.wait_fixed(AGAIN_S),
        stop=tenacity.stop_after_delay(grace_s),
        before_sleep=lambda _: get_run_logger().warning("Prefect's server fails; asked again"),
        reraise=True,
    )
    return await trying(attempt)
