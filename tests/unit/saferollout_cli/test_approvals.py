"""Who answers a run that a command started, and what an answer holds."""

import io

import pytest
from rich.console import Console

from saferollout.domain.errors import Refused
from saferollout_cli.approvals import Reply, WaitingQuestion, asker
from saferollout_cli.choices import Approve

QUESTION = WaitingQuestion(text="# Give green 10%?", evidence="0123456789ab", response="r")
REPLY = Reply.model_validate({"decision": "approve", "approver": "Ann", "code": "123456"})


async def test_what_is_refused_is_not_answered_by_itself_again() -> None:
    """`--approve auto` answers each evidence once: where that does not count, or a code is wanted, a person must."""
    said = io.StringIO()
    ask = asker(Approve.AUTO, Console(file=said), "answer in the UI")

    given = await ask(QUESTION)
    again = await ask(QUESTION.model_copy(update={"text": "# Give green 10%?\n\nRefused", "response": "r-1"}))
    proven = await ask(QUESTION.model_copy(update={"evidence": "ba9876543210", "wants_code": True}))

    assert given is not None
    assert (given.decision, again, proven) == ("approve", None, None)
    assert said.getvalue().count("answer in the UI") == 2


def test_a_code_goes_only_where_it_is_wanted() -> None:
    """Prefect keeps what it gets; and nothing that prints an answer shows the code."""
    wanted = QUESTION.model_copy(update={"wants_code": True})

    assert "code" not in REPLY.as_input(QUESTION)
    assert REPLY.as_input(wanted)["code"] == "123456"
    assert "123456" not in f"{REPLY!r} {REPLY} {REPLY.model_dump()} {REPLY.model_dump_json()}"
    with pytest.raises(Refused, match="this approval needs a code of yours"):
        Reply(decision="approve", approver="Ann").as_input(wanted)
