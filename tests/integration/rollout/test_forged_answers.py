"""Answers that whoever reaches Prefect's API forges, or has kept from another time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.states import Scheduled

from saferollout.approvals import totp
from saferollout.approvals.history import HistoryEvent
from saferollout.approvals.keys import KEY, PAGE_KEY
from saferollout.approvals.signed_answer import SignedAnswer, seal
from saferollout.domain.errors import Refused
from saferollout.rollout.record import now
from saferollout_cli.approvals import Reply, answer
from tasks.approval import ask
from tasks.support import history, variables
from tests.support.answers import Rollout, api, asked, events_of, post, resume
from tests.support.asking import Case, again, current, go_on, question_of, reply
from tests.support.page_worker import person, signed
from tests.support.prefect import Server
from tests.support.signing import make_keys, make_pem, public_pem
from tests.support.twin import look, traffic_of

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"), pytest.mark.xdist_group("server")]
PEM, PAGE_PEM = make_pem(), make_pem()
SECRETS = {name: totp.new_secret() for name in ("Ann", "Dee")}


@pytest.fixture(autouse=True)
def worker(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has what a worker has: a key, the page's public key, and the secrets of people's codes."""
    monkeypatch.setenv(KEY, PEM)
    monkeypatch.setenv(PAGE_KEY, public_pem(PAGE_PEM))
    for name, secret in SECRETS.items():
        monkeypatch.setenv(totp.variable_of(name), secret)
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        yield


FORGED: dict[str, tuple[dict[str, Any], ...]] = {
    "none": ({"evidence": None}, {"evidence": "0123456789ab"}, {"decision": "Approve"}, {"approver": ""}),
    "totp": ({}, {"code": ""}, {"code": "000000"}, {"code": "000000", "proof": "totp"}),
    "oidc": ({}, {"proof": ""}, {"proof": "e30.e30"}, {"proof": "oidc"}),
}

WRITTEN = (None, "[]", '"approve"', '{"decision": "approve", "evidence": "EVIDENCE"}', "no JSON")
"""What is kept as an answer that nobody has given by the call for it."""


@pytest.mark.parametrize("verify", FORGED)
async def test_who_reaches_the_api_forges_no_answer(server: Server, verify: str) -> None:
    """By the call that answers, by writing the answer beside it, or by a state alone: the run waits on, and says so."""
    with current(Rollout(approvals={"verify": verify, "approvers": ["Ann"]})) as case:
        run = await asked(case)
        async with api(server.url) as http, get_client() as client:
            for forged in FORGED[verify]:
                question = await question_of(run)
                whole = {"decision": "approve", "approver": "Ann", "evidence": question.evidence} | forged
                given = {name: value for name, value in whole.items() if value is not None}
                if await resume(http, run.id, given) == "ACCEPT":
                    assert (await go_on(run)).name == "Suspended", forged
                    assert "Refused" in (await question_of(run)).text
            for written in WRITTEN if verify == "totp" else (None,):
                question = await question_of(run)
                if written is not None:
                    body = {"key": question.response, "value": written.replace("EVIDENCE", question.evidence)}
                    answered = await post(http, f"/flow_runs/{run.id}/input", body)
                    assert answered.status_code == 201, answered.text
                await client.set_flow_run_state(run.id, Scheduled(name="Resuming"), force=True)
                state = await go_on(run)
                assert state.name == "Suspended", state.message
                assert "Refused" in (await question_of(run)).text
        assert case.decisions == []
        assert traffic_of(look(case.memory)) == {"blue": 100}
        assert set(await events_of(case, make_keys(PEM))) <= {"refusal"}


class TwoStages(Case):
    """It asks for 50% as well, as if it had 10% by now."""

    async def ask(self) -> Any:
        """Ask for both."""
        await super().ask()
        stage = self.rollout.project.config.stages[1]
        self.decisions.append(await ask(self.rollout, stage, self.evidence, question="Give green 50%?"))


async def replay(run: FlowRun, old: SignedAnswer) -> str:
    """Give an answer that the page has signed for something else; return what the run says to it."""
    fields = {"decision": old.decision, "approver": old.approver, "comment": old.comment}
    await answer(run.id, Reply.model_validate(fields | {"proof": seal(old, make_keys(PAGE_PEM))}))
    assert (await go_on(run)).name == "Suspended"
    return (await question_of(run)).text.split("\n\n")[1]


async def test_an_old_signed_answer_opens_nothing_else() -> None:
    """Kept by an attacker, it is refused at the next stage, in another rollout, and once the evidence is another."""
    rules = {"verify": "oidc", "approvers": ["group:ml"]}
    ann = person("ann", "1", "ml")
    with current(TwoStages(approvals=rules)) as case:
        run = await asked(case)
        old = await signed(run, ann)
        await answer(
            run.id, Reply(decision="approve", approver=ann.name, comment="ok", proof=seal(old, make_keys(PAGE_PEM)))
        )
        assert (await go_on(run)).name == "Suspended"
        assert "50%" in (await question_of(run)).title
        assert "not this question" in await replay(run, old)
        assert {decision.share for decision in case.decisions} == {10}

        case.evidence = [case.evidence[0].model_copy(update={"summary": "one failed"})]
        await again(run)
        assert (await go_on(run)).name == "Suspended"
        assert "one failed" in (await question_of(run)).text
        assert "not this question" in await replay(run, old)
    with current(Rollout(approvals=rules)) as case:
        assert "not this flow run" in await replay(await asked(case), old)
        assert case.decisions == []


async def test_one_code_does_not_approve_two_rollouts() -> None:
    """Given to both at the same instant, by its owner or by who has seen it: the first that is looked at counts."""
    cases = [Rollout(approvals={"verify": "totp"}) for _ in range(2)]
    runs = []
    for case in cases:
        with current(case):
            runs.append(await asked(case))
    code = pyotp.TOTP(SECRETS["Dee"]).at(now())
    await asyncio.gather(*(reply(run, "Dee", code) for run in runs))
    ends = []
    for case, run in zip(cases, runs, strict=True):
        with current(case):
            ends.append((await go_on(run)).name)
    assert ends == ["Completed", "Suspended"]
    assert "has been used before" in (await question_of(runs[1])).text
    assert [len(case.decisions) for case in cases] == [1, 0]


async def test_what_somebody_writes_into_the_history_keeps_no_rollout_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Variables among its own hide none of them; one that is full to the brim is a failure with the reason."""
    keys, recent = make_keys(PEM), 3
    monkeypatch.setattr("tasks.support.history.RECENT", recent)
    about = {"workspace": "w", "endpoint": "planted", "rollout": "r", "flow_run": "f", "candidate": "green"}
    event = HistoryEvent(kind="decision", at=now(), revision="v", question="q", **about)
    assert (await history.append(event, keys)).number == 1
    prefix = next(iter(await variables.newest("saferollout_history_planted"))).removesuffix("head")
    for number in range(recent + 1):
        await variables.create(f"{prefix}z{number}", "planted")

    assert (await history.append(event.model_copy(update={"reason": "2"}), keys)).number == 2
    assert set(await history.rulings("planted", "r", keys)) == {"q"}
    for number in (10**8 - 1, 10**8):
        await variables.create(f"{prefix}{number}", "planted")
    with pytest.raises(Refused, match="the history of planted takes no entry: somebody else has written variables"):
        await history.append(event.model_copy(update={"reason": "3"}), keys)
