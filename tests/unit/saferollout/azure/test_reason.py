"""What people read of Azure's errors: the reason is often far inside."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse

from saferollout.azure.access import translated
from saferollout.azure.reason import reason_of
from saferollout.domain.errors import AzureFailed

Ask = Callable[[object, int], HttpResponseError]


@pytest.fixture
def answered(serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> Ask:
    """The exception that Azure's client makes of an answer."""

    class Azure(BaseHTTPRequestHandler):
        answer: tuple[bytes, int] = b"", 200

        def do_GET(self) -> None:
            body, status = self.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    url = serve(Azure)

    def ask(body: object, status: int) -> HttpResponseError:
        Azure.answer = body if isinstance(body, bytes) else json.dumps(body).encode(), status
        with PipelineClient[HttpRequest, HttpResponse](url, policies=[]) as client:
            return HttpResponseError(response=client.send_request(HttpRequest("GET", url)))

    return ask


CORRELATION = [
    {"type": "ComponentName", "info": {"value": "managementfrontend"}},
    {"type": "Correlation", "info": {"value": {"operation": "0af7", "request": "b9c7"}}},
]
GENERAL = {"code": "UserError", "message": "The resource was not found.", "details": [], "additionalInfo": CORRELATION}
BEHIND = {
    "error": {
        "code": "UserError",
        "message": "Not there.",
        "details": [],
        "innerError": {"code": "NotFound", "innerError": {"code": "WorkspaceNotFound", "innerError": None}},
        "additionalInfo": None,
    },
    "correlation": {"operation": "4bf9"},
}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": "BadRequest", "message": "No.\n  Really."}, "BadRequest: No. Really."),
        (
            GENERAL | {"details": [{"code": "ModelNotFound", "message": "No model m.", "details": []}]},
            "UserError: The resource was not found. (ModelNotFound: No model m.) [correlation id 0af7]",
        ),
        (GENERAL, "UserError: The resource was not found. [correlation id 0af7]"),
        (
            {
                "code": "DeploymentFailed",
                "message": "It failed.",
                "details": [{"code": "NotFound", "message": json.dumps(BEHIND)}],
            },
            "DeploymentFailed: It failed. (UserError: Not there.; WorkspaceNotFound) [correlation id 4bf9]",
        ),
        ({"code": "Conflict", "innererror": {"code": "Busy", "message": "Wait."}}, "Conflict (Busy: Wait.)"),
        (
            {"code": None, "message": None, "details": "?", "additionalInfo": [7]},
            "Operation returned an invalid status",
        ),
    ],
)
def test_the_innermost_reason_is_read(answered: Ask, error: dict[str, Any], reason: str) -> None:
    """Code and message of the outer error, the reason inside it, and the id that Azure's support asks for."""
    assert reason_of(answered({"error": error}, 404)).startswith(reason)
    assert reason_of(answered({"status": "Failed", "error": error}, 200)).startswith(reason)  # an operation's page


def test_an_error_without_words_is_named() -> None:
    """A reason is never empty."""
    assert reason_of(TimeoutError()) == "TimeoutError"


@pytest.mark.parametrize("body", [b"", b"<html>", [], {"error": "x"}, {"error": []}, "text"])
def test_an_answer_that_is_not_azures_is_still_one_line(answered: Ask, body: object) -> None:
    """Whatever stands between us and Azure may answer: then the status is what there is to say."""
    with pytest.raises(AzureFailed, match=r"^could not look: .") as failed, translated("look"):
        raise answered(body, 502)
    assert "\n" not in str(failed.value)
