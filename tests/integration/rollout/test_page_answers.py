"""`verify: oidc`, where an answer counts by the page's signature alone, and the list of what waits, at a server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from typer.testing import CliRunner

from saferollout.approvals.keys import PAGE_KEY
from saferollout.approvals.signed_answer import PAGE_URL, SignedAnswer, digest_of, seal
from saferollout.config.request import RolloutRequest
from saferollout.domain.errors import ConfigError, Refused
from saferollout_cli.approvals import Reply, answer
from saferollout_cli.commands import app
from saferollout_cli.listing import list_waiting
from tasks.preflight import check_approvals
from tests.support.asking import Case, current, deployed, go_on, question_of, reply
from tests.support.page_worker import as_worker, person, signed
from tests.support.signing import make_keys, make_pem
from tests.support.stack import Stack

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
PEM = make_pem()
RULES = {"verify": "oidc", "approvers": ["group:ml", "bob@example.org"], "required": 2, "not_requester": True}


@pytest.fixture(autouse=True)
def worker(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has what a worker has: a key of its own, and the public half of the page's."""
    with as_worker(stack, tmp_path, monkeypatch, PEM):
        yield


async def send(run: FlowRun, given: SignedAnswer, pem: str = PEM, **forged: str) -> str:
    """Answer, and return what the question says on top when the run has looked at it."""
    fields: dict[str, Any] = {"decision": given.decision, "approver": given.approver, "comment": given.comment}
    await answer(run.id, Reply.model_validate(fields | {"proof": seal(given, make_keys(pem))} | forged))
    if (await go_on(run)).name != "Suspended":
        return ""
    return (await question_of(run)).text.split("\n\n")[1]


async def test_only_what_the_page_has_signed_counts() -> None:
    """Another key, question, text, decision or person is refused with the reason; two people approve."""
    ann, bob = person("ann", "1", "ml"), person("bob", "2")
    with current(Case(requester="eve@example.org", approvals=RULES)) as case:
        run = await deployed()
        assert (await go_on(run)).name == "Suspended"
        with pytest.raises(Refused, match="answer at the approvals page"):
            await reply(run, ann.name)
        old = await signed(run, ann)
        assert "no known page key has signed it" in await send(run, old, make_pem())
        assert "not this question" in await send(run, old)
        assert "not this evidence text" in await send(run, await signed(run, ann, evidence_text=digest_of("healthy")))
        assert "not this flow run" in await send(run, await signed(run, ann, flow_run=str(uuid4())))
        assert "not this decision" in await send(run, await signed(run, ann, "reject"), decision="approve")
        assert "not this approver" in await send(run, await signed(run, ann), approver="bob@example.org")
        assert "not this approver" in await send(run, await signed(run, ann, approver="bob@example.org"))
        assert "is not among the approvers" in await send(run, await signed(run, person("mallory", "3", "guests")))
        assert "requested this rollout" in await send(run, await signed(run, person("eve", "4", "ml")))
        assert "1 of 2 approvals, by ann@example.org" in await send(run, await signed(run, ann))
        renamed = ann.model_copy(update={"name": "other@example.org"})
        assert "has approved already" in await send(run, await signed(run, renamed))
        assert await send(run, await signed(run, bob)) == ""

    (decision,) = case.decisions
    assert [(one.approver, one.proof, one.identity) for one in decision.all] == [
        ("ann@example.org", "oidc", "https://id.example.org 1"),
        ("bob@example.org", "oidc", "https://id.example.org 2"),
    ]


async def test_a_worker_without_the_pages_key_starts_no_such_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not know who has answered."""
    project = Case(approvals=RULES).rollout.project.for_request(RolloutRequest(by="eve@example.org"))
    await check_approvals(project)
    monkeypatch.delenv(PAGE_KEY)
    with pytest.raises(ConfigError, match="needs the public key of the approvals page"):
        await check_approvals(project)


async def test_what_waits_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its endpoint, share, times, evidence in a line, and the link to where it is answered."""
    with current(Case(approvals=RULES)):
        run = await deployed()
        assert (await go_on(run)).name == "Suspended"
        async with get_client() as client:
            await client.update_flow_run_labels(run.id, {"saferollout.endpoint": "diabetes"})
            (found,) = [one for one in await list_waiting(client) if one.flow_run == run.id]
            asked = await question_of(run)
            assert (found.endpoint, found.share, found.digest) == ("diabetes", 10, asked.evidence)
            assert found.evidence == "smoke test: passed — all answered"
            assert found.until is not None
            assert 86000 < (found.until - found.since).total_seconds() <= 86400
            assert found.link.endswith(f"/runs/flow-run/{run.id}")
            monkeypatch.setenv(PAGE_URL, "https://approvals.example.org/")
            (found,) = [one for one in await list_waiting(client) if one.flow_run == run.id]
            assert found.link == f"https://approvals.example.org/approvals/{run.id}"


def test_the_command_lists_what_waits() -> None:
    """As markdown, and as one JSON object."""
    listed = CliRunner().invoke(app, ["approvals", "--json"])
    assert listed.exit_code == 0, listed.output
    assert json.loads(listed.stdout)["outcome"] == "listed"
    assert CliRunner().invoke(app, ["approvals"]).exit_code == 0
