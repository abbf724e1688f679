"""Bodies in JSON, as Azure reads them."""

import json

import pytest
from starlette.requests import Request
from starlette.types import Message

from localazure.arm.bodies import json_object
from localazure.arm.errors import BadRequest


def request(body: bytes) -> Request:
    """A request with the body."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "PUT", "path": "/", "headers": []}, receive)


async def test_a_string_may_have_raw_newlines() -> None:
    """As in the conda file that a script of Azure's puts into its request."""
    body = b'{"conda": "name: a\n\tdependencies:\r\n- python", "n": 1.5, "pair": "\\ud83d\\ude00"}'
    assert await json_object(request(body)) == {"conda": "name: a\n\tdependencies:\r\n- python", "n": 1.5, "pair": "😀"}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"1",
        b"{",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a":' * 5000,
        json.dumps("a").encode("utf-16"),
    ],
)
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """400: also what Python would read, but could not answer."""
    with pytest.raises(BadRequest) as caught:
        await json_object(request(body))
    assert caught.value.code == "InvalidRequestContent"
