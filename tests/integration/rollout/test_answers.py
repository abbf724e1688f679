"""Answers at the worst moments: many at once, while the server or the worker dies, too late, or forged."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyotp
import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.states import Cancelling, Failed

from saferollout.approvals import totp
from saferollout.approvals.attestation import open_sealed
from saferollout.approvals.keys import KEY, PAGE_KEY
from saferollout.approvals.tag import is_signed
from saferollout.config.rollout import Auto
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Refused, Stopped
from saferollout.domain.evidence import GateVerdict
from saferollout.rollout.auto import AUTO
from saferollout.rollout.record import now
from saferollout_cli.approvals import Reply, WaitingQuestion, answer
from saferollout_cli.environment import patient
from tasks.auto import approve_by_itself
from tasks.support.answers import find_answer
from tasks.support.attestation import read_attestation
from tasks.support.polling import poll
from tests.support.answers import Rollout, api, asked, events_of, is_refused, resume
from tests.support.asking import Case, again, current, deployed, go_on, here, question_of, reply, until
from tests.support.prefect import Server
from tests.support.run_steps import record_of
from tests.support.signing import make_keys, make_pem, public_pem
from tests.support.twin import look, traffic_of

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"), pytest.mark.xdist_group("server")]
PEM = make_pem()
SECRETS = {name: totp.new_secret() for name in ("Ann", "Bob", "Cy")}


@pytest.fixture(autouse=True)
def worker(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has what a worker has: a key, the page's public key, and the secrets of people's codes."""
    monkeypatch.setenv(KEY, PEM)
    monkeypatch.setenv(PAGE_KEY, public_pem(make_pem()))
    for name, secret in SECRETS.items():
        monkeypatch.setenv(totp.variable_of(name), secret)
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        yield


def key_of(question: WaitingQuestion) -> str:
    """What an answer to the question is kept under, in whatever way the run waits."""
    return question.response.partition("-")[2].removesuffix("-response")


async def one_decision(case: Rollout, approver: str) -> None:
    """Check that history, tags, report and attestation have one decision, the same, by this approver."""
    (decision,) = case.decisions
    assert decision.approver == approver
    assert is_signed(decision, make_keys(PEM))
    assert await events_of(case, make_keys(PEM)) == {"decision": 1, "outcome": 1}
    record = record_of(case.memory)
    assert record is not None
    assert {share: given.approver for share, given in record.approvals.items()} == {10: approver}
    assert case.outcome.decisions == [decision]
    assert case.outcome.report.count("| 10% | approve |") == 1
    assert traffic_of(look(case.memory)) == {"blue": 90, "green": 10}


async def check_statement(run: FlowRun, approver: str) -> None:
    """Check that the signed statement of the rollout has the decision, and that no other traffic record holds."""
    keys, text = make_keys(PEM), await read_attestation(run.id)
    assert text is not None
    statement, _ = open_sealed(text, keys)
    (decision,) = statement["predicate"]["decisions"]
    assert decision["approver"] == approver
    assert statement["predicate"]["traffic"]["after"] == {"blue": 90, "green": 10}
    for part, value in (("traffic", {"after": {"green": 100}}), ("decisions", [])):
        forged = statement | {"predicate": statement["predicate"] | {part: value}}
        payload = base64.b64encode(json.dumps(forged, sort_keys=True).encode()).decode()
        with pytest.raises(Refused, match="it was changed"):
            open_sealed(json.dumps(json.loads(text) | {"payload": payload}), keys)


async def test_of_a_hundred_answers_at_once_one_counts(server: Server) -> None:
    """Prefect takes one; it alone is in history, tags and report. Whoever answers by command hears that it was not."""
    with current(Rollout()) as case:
        run = await asked(case)
        question = await question_of(run)
        names = [f"person {number}" for number in range(96)]
        async with api(server.url) as client:
            by_api = [
                resume(client, run.id, {"decision": "approve", "approver": name, "evidence": question.evidence})
                for name in names
            ]
            by_command = [answer(run.id, Reply(decision="approve", approver=f"human {number}")) for number in range(4)]
            with patient():
                said, heard = await asyncio.gather(
                    asyncio.gather(*by_api), asyncio.gather(*by_command, return_exceptions=True)
                )
        taken = [name for name, status in zip(names, said, strict=True) if status == "ACCEPT"]
        taken += [f"human {number}" for number, result in enumerate(heard) if not is_refused(result)]
        assert len(taken) == 1
        assert (await go_on(run)).name == "Completed"
        await one_decision(case, taken[0])
        await check_statement(run, taken[0])


async def test_two_people_at_the_same_instant_are_asked_one_after_the_other() -> None:
    """Where two must approve, the one whose answer was not taken hears so, and is asked next; a no ends it."""
    with current(Rollout(approvals={"approvers": ["Ann", "Bob"], "required": 2})) as case:
        run = await asked(case)
        with patient():
            results = await asyncio.gather(reply(run, "Ann"), reply(run, "Bob"), return_exceptions=True)
        (late,) = [name for name, result in zip(("Ann", "Bob"), results, strict=True) if is_refused(result)]
        assert (await go_on(run)).name == "Suspended"
        assert "1 of 2 approvals, by " in (await question_of(run)).text
        await reply(run, late)
        assert (await go_on(run)).name == "Completed"

        (decision,) = case.decisions
        assert [given.approver for given in decision.all] == [name for name in ("Ann", "Bob") if name != late] + [late]
        assert await events_of(case, make_keys(PEM)) == {"decision": 2, "outcome": 1}


async def test_an_answer_while_the_server_restarts_is_taken_once(server: Server) -> None:
    """Who has read the question when Prefect goes away waits for it; the run goes on with that answer."""
    with current(Rollout()) as case, ThreadPoolExecutor() as pool:
        run = await asked(case)
        starting: list[Future[None]] = []

        def read(_: WaitingQuestion, given: Reply) -> Reply:
            server.stop()
            starting.append(pool.submit(server.start))
            return given

        await answer(run.id, Reply(decision="approve", approver="Ann"), read=read)
        starting[0].result()
        assert (await go_on(run)).name == "Completed"
        await one_decision(case, "Ann")


def killed(run: FlowRun, prepare: Callable[[], object]) -> None:
    """A process that takes the run up as a worker does, after it was prepared to be killed."""
    if (child := os.fork()) == 0:
        prepare()
        asyncio.run(go_on(run))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def die(*_: object, **__: object) -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("where", "name"), [("history.append", "Ann"), ("answers.forget_code", "Bob"), ("sign", "Cy")])
def test_an_answer_outlives_the_worker(monkeypatch: pytest.MonkeyPatch, where: str, name: str) -> None:
    """Killed after it took the answer's code, or after the ruling: the next worker takes the same answer, once."""
    with current(Rollout(approvals={"verify": "totp"})) as case:
        run = asyncio.run(asked(case))
        asyncio.run(reply(run, name, pyotp.TOTP(SECRETS[name]).at(now())))
        killed(run, lambda: monkeypatch.setattr(f"tasks.approval.{where}", die))
        asyncio.run(again(run))  # as the guard does
        assert asyncio.run(go_on(run)).name == "Completed"
        asyncio.run(one_decision(case, name))
        assert case.decisions[0].proof == "totp"


def soon(timeout_s: float) -> dict[str, Any]:
    """Stages of which the first waits so long for an answer."""
    return {"stages": [{"traffic": 10, "approval_timeout_s": timeout_s}, {"traffic": 100}]}


async def ended(run: FlowRun) -> None:
    """Wait for the run's end; an answer is refused then."""
    async with get_client() as client:

        async def look() -> bool | None:
            state = (await client.read_flow_run(run.id)).state
            return (state is not None and state.is_final()) or None

        assert await poll(look, 0.2, 120)
    with pytest.raises(Refused, match="does not wait for an approval"):
        await reply(run, "Ann")


async def test_an_answer_after_the_deadline_counts_for_nothing(server: Server) -> None:
    """Prefect takes none, be the run suspended or in a process; nothing is decided."""
    with current(Rollout(**soon(12))) as case:
        run = await asked(case)
        question = await question_of(run)
        async with get_client() as client:
            state = (await client.read_flow_run(run.id)).state
        assert state is not None
        assert state.state_details.pause_timeout is not None
        await asyncio.sleep((state.state_details.pause_timeout - now()).total_seconds())
        async with api(server.url) as http:
            given = {"decision": "approve", "approver": "Ann", "evidence": question.evidence}
            assert await resume(http, run.id, given) != "ACCEPT"
        await ended(run)
        assert await find_answer(run.id, key_of(question)) is None
        assert (case.decisions, await events_of(case, make_keys(PEM))) == ([], {})

    with current(Rollout(**soon(1))) as case:
        state = await here(ended)
        assert "nobody approved 10% within 1 s" in str(state.message)
        assert (case.decisions, await events_of(case, make_keys(PEM))) == ([], {})


class ByItself(Rollout):
    """Its first stage approves by itself."""

    async def decide(self) -> Decision:
        """Let it."""
        stage = self.rollout.project.config.stages[0].model_copy(update={"auto": Auto.HEALTHY})
        healthy = self.evidence[0].model_copy(update={"gate": "judge", "verdict": GateVerdict.HEALTHY})
        decision = await approve_by_itself(self.rollout, stage, [healthy])
        assert decision is not None
        self.decisions.append(decision)
        return decision


async def test_what_a_stage_approves_by_itself_is_recorded_as_that() -> None:
    """Signed, in history, tags, report and statement, once, under a name that no person has."""
    with current(ByItself()) as case:
        run = await deployed()
        assert (await go_on(run)).name == "Completed"
        await one_decision(case, AUTO)
        await check_statement(run, AUTO)


class Ended(Case):
    """A rollout whose run somebody ends while its question is open."""

    stopped: Stopped

    async def ask(self) -> Decision:
        """Ask, and keep why it was given up."""
        try:
            return await super().ask()
        except Stopped as stopped:
            self.stopped = stopped
            raise


@pytest.mark.parametrize(
    ("state", "reason", "cancelled"),
    [(Cancelling(), "was cancelled", True), (Failed(), "was set to Failed", False)],
    ids=["cancelled", "set to Failed"],
)
async def test_a_run_in_this_process_that_somebody_ends_asks_no_longer(
    state: State[None], reason: str, cancelled: bool
) -> None:
    """Cancelled or set to Failed while its question is open, it gives up, and says why."""

    async def ends(run: FlowRun) -> None:
        await until(run, "smoke test: passed")
        async with get_client() as client:
            await client.set_flow_run_state(run.id, state, force=True)

    with current(Ended()) as case:
        await here(ends)

    assert (str(case.stopped), case.stopped.cancelled) == (f"the run {reason} in Prefect", cancelled)
    assert case.decisions == []
