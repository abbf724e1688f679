"""A command line that waits for somebody to sign in, at a page that fails now and then."""

from collections.abc import Iterator

import httpx
import pytest

from saferollout.domain.errors import AzureFailed, Refused
from saferollout_cli.signin import _wait

BEGUN = {"sign_in": "word", "interval_s": 0.01, "lives_s": 0.2}
WAITS = httpx.Response(202, json={"interval_s": 0.01})
AWAY = httpx.Response(503, json={"title": "This does not work now", "text": "Prefect's server does not answer."})


def page(*said: httpx.Response | Exception) -> httpx.Client:
    """A page that says this, and the last of it for ever."""
    following: Iterator[httpx.Response | Exception] = iter(said)

    def answer(_: httpx.Request) -> httpx.Response:
        found = next(following, said[-1])
        if isinstance(found, Exception):
            raise found
        return found

    return httpx.Client(base_url="https://approvals.test", transport=httpx.MockTransport(answer))


def test_an_answer_outlives_a_page_that_fails() -> None:
    """It is asked again, and says why."""
    lines: list[str] = []
    given = httpx.Response(200, json={"approver": "ann@example.org"})
    assert _wait(page(WAITS, AWAY, httpx.ConnectError("refused"), given), BEGUN, lines.append) == "ann@example.org"
    assert [line.partition("; asked again")[0] for line in lines] == [
        "This does not work now: Prefect's server does not answer.",
        "refused",
    ]


def test_nobody_waits_for_ever() -> None:
    """When its time is over, nothing was answered; whether that is a failure the last reply says."""
    with pytest.raises(Refused, match="nobody signed in in time"):
        _wait(page(WAITS), BEGUN, print)
    with pytest.raises(AzureFailed, match="This does not work now"):
        _wait(page(AWAY), BEGUN, print)
    with pytest.raises(httpx.ConnectError):
        _wait(page(httpx.ConnectError("refused")), BEGUN, print)
