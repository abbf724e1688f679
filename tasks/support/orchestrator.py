"""Prefect's server in trouble, as its client shows it."""

import json

import httpx


def passing(error: BaseException) -> bool:
    """Whether Prefect's server may take the same call later: it is away, busy or throttles; never a refusal.

    What answers may also be something else that is in its place meanwhile, as a page that wants a login.
    """
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or not error.response.is_client_error
    return isinstance(error, httpx.RequestError | json.JSONDecodeError)
