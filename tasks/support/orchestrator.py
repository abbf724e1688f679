"""Prefect's server in trouble, as its client shows it."""

import json

import httpx
from prefect.exceptions import ObjectNotFound


def is_unknown(error: ObjectNotFound) -> bool:
    """Whether Prefect's server itself says that there is no such thing: a proxy, or another path, is not Prefect's."""
    response = getattr(error.http_exc, "response", None)
    try:
        said = response.json() if response is not None else None
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("detail", "Not Found") != "Not Found"  # the latter is a web server's


def passing(error: BaseException) -> bool:
    """Whether Prefect's server may take the same call later: it is away, busy or throttles; never a refusal.

    What answers may also be something else that is in its place meanwhile, as a page that wants a login.
    """
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or not error.response.is_client_error
    return isinstance(error, httpx.RequestError | json.JSONDecodeError)
