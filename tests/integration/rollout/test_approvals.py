"""Who may approve, how that is proven, and what is kept of it, at a real Prefect server."""

import asyncio
import gc
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from prefect.blocks.system import Secret
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from typer.testing import CliRunner

from saferollout.approvals import totp
from saferollout.approvals.history import HistoryEvent, problems
from saferollout.approvals.keys import KEY, Keyring
from saferollout.approvals.tag import is_signed
from saferollout.config.request import RolloutRequest
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import ConfigError, Refused
from saferollout.rollout.record import now
from saferollout_cli.commands import app
from tasks.preflight import check_approvals
from tasks.support import history, variables
from tasks.support.codes import refuse_code
from tasks.support.keys import SIGNING_KEY, load_keys, totp_secret
from tests.support import leaks
from tests.support.asking import Case, again, current, deployed, dump, go_on, here, question_of, reply, until
from tests.support.signing import make_keys, make_pem, public_pem
from tests.support.stack import Stack

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
PEM = make_pem()
SECRETS = {name: totp.new_secret() for name in ("Ann", "Bob", "Cy", "Dee", "Fay")}


@pytest.fixture(autouse=True)
def prefect(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs here are the stack's; this process has a key and knows two people's secrets, as a worker does."""
    monkeypatch.setenv(KEY, PEM)
    leaks.note(stack.directory, PEM.splitlines()[1], *SECRETS.values())
    for name, secret in SECRETS.items():
        monkeypatch.setenv(totp.variable_of(name), secret)
    with temporary_settings({PREFECT_API_URL: stack.env["PREFECT_API_URL"], PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        yield
    gc.collect()  # while its warnings are ignored


def code(name: str, *used: str) -> str:
    """A code of the person that counts now, and that has not been used."""
    steps = (timedelta(seconds=30 * step) for step in (1, 0, -1))
    return next(found for step in steps if (found := pyotp.TOTP(SECRETS[name]).at(now() + step)) not in used)


async def test_people_prove_who_they_are_and_what_does_not_count_is_refused(stack: Stack) -> None:
    """A suspended run asks the same question again, with the reason on top, until two people have approved.

    Neither a code nor a key nor a secret is kept in any row of Prefect's database.
    """
    rules = {"approvers": ["Ann", "Bob", "Eve"], "required": 2, "not_requester": True, "verify": "totp"}
    used: list[str] = []
    given = [
        ("Mallory", "123456", "Mallory is not among the approvers"),
        ("Eve", "123456", "Eve is not enrolled for codes"),
        ("Ann", "000000", "the code of Ann is wrong, or too old"),
        ("Ann", "new", "1 of 2 approvals, by Ann; another person must approve, too."),
        ("Ann", "old", "the code of Ann has been used before"),
        ("Ann", "new", "Ann has approved already, and another person must, too"),
        ("Bob", "old", "the code of Bob is wrong, or too old"),
    ]
    with current(Case(approvals=rules)) as case:
        run = await deployed()
        assert (await go_on(run)).name == "Suspended"
        first = await question_of(run)
        assert "self-declared" not in first.text
        assert first.wants_code
        for name, typed, reason in given:
            if typed == "new":
                used.append(code("Ann", *used))
            await reply(run, name, used[-1] if typed in ("new", "old") else typed)
            assert (await go_on(run)).name == "Suspended", reason
            question = await question_of(run)
            assert reason in question.text.split("\n\n")[1]
            assert question.evidence == first.evidence
        assert "Refused (6 so far)" in question.text
        used.append(code("Bob"))
        await reply(run, "bob", used[-1])
        assert (await go_on(run)).name == "Completed"

    (decision,) = case.decisions
    assert [(one.approver, one.proof, one.comment) for one in decision.all] == [
        ("Ann", "totp", "ok"),
        ("bob", "totp", "ok"),
    ]
    assert is_signed(decision, make_keys(PEM))
    entries, head = await history.read_history("shop")
    kinds = [entry.event.kind for entry in entries if entry.event.rollout == case.rollout.id]
    assert (kinds.count("refusal"), kinds.count("decision")) == (6, 2)
    own = [f"entry {entry.number} " for entry in entries if entry.event.rollout == case.rollout.id]
    assert not [problem for problem in problems(entries, head, make_keys(PEM)) if problem.startswith(tuple(own))]
    rows = dump(stack.directory / "prefect" / "prefect.db")
    assert "bob" in rows
    for secret in (*(f'"{given}"' for given in used), *SECRETS.values(), PEM.splitlines()[1]):
        assert secret not in rows


async def test_a_run_in_this_process_goes_on_waiting() -> None:
    """A paused run, too, refuses a requester and asks again; whoever requested may reject."""

    async def answers(run: FlowRun) -> None:
        await until(run, "Requested by Eve (so says the event; nobody has checked it).")
        await reply(run, "eve")
        await until(run, "Refused (1 so far): eve requested this rollout, and another person must approve it")
        await reply(run, "eve", decision="reject")

    with current(Case(approvals={"not_requester": True})) as case:
        state = await here(answers)

    assert (state.name, case.decisions) == ("Failed", [])
    assert state.message is not None
    assert "eve rejected 10%: ok" in state.message


async def test_a_resumed_run_is_asked_once_and_a_retried_one_if_the_evidence_differs() -> None:
    """The answer belongs to what was shown: a run that starts again with the same evidence has it."""
    with current(Case()) as case:
        run = await deployed()
        await go_on(run)
        await reply(run, "Ann")
        assert (await go_on(run)).name == "Completed"
        await again(run)
        assert (await go_on(run)).name == "Completed"
        assert case.decisions[0] == case.decisions[1]

        case.evidence = [case.evidence[0].model_copy(update={"summary": "one failed"})]
        await again(run)
        assert (await go_on(run)).name == "Suspended"
        assert "one failed" in (await question_of(run)).text


async def test_a_code_works_once_for_whoever_comes_first() -> None:
    """Two workers that get the same code at the same moment accept it once, and the same answer twice."""
    at = now()
    right = pyotp.TOTP(SECRETS["Cy"]).at(at)

    refusals = await asyncio.gather(*(refuse_code("Cy", right, at, f"question-{number}") for number in range(5)))

    assert sorted(bool(refusal) for refusal in refusals) == [False, True, True, True, True]
    winner = refusals.index("")
    assert await refuse_code("Cy", right, at, f"question-{winner}") == ""


async def test_five_wrong_codes_lock_an_approver_for_15_minutes() -> None:
    """The sixth is not looked at, even if it is right; nobody else is locked; a quarter of an hour later it is over."""
    at = now()
    for _ in range(5):
        assert "is wrong, or too old" in await refuse_code("Dee", "000000", at, "question")
    right = pyotp.TOTP(SECRETS["Dee"]).at(at - timedelta(seconds=30))
    assert (
        await refuse_code("Dee", right, at, "question") == "Dee is locked after 5 wrong codes; try again in 15 minutes"
    )
    assert "wrong" in await refuse_code("Fay", "000000", at, "question")

    for name in await variables.newest("saferollout_wrong_dee"):
        await variables.delete(name)
    for number in range(5):
        then = (now() - timedelta(minutes=16)).isoformat()
        await variables.create(f"saferollout_wrong_{totp.short_name('Bob')}_{number:032}", then)
    assert await refuse_code("Dee", right, at, "question") == ""


async def test_many_writers_leave_one_history_and_tampering_shows() -> None:
    """Ten at once: each has an entry of its own. One that is changed, removed or forged through the API is noticed."""
    keys, case = make_keys(PEM), Case()
    with current(case):
        event = HistoryEvent(
            kind="outcome",
            at=now(),
            workspace="w",
            endpoint="Many",
            rollout="r",
            flow_run="f",
            candidate="green",
            revision="v",
        )
    await asyncio.gather(
        *(history.append(event.model_copy(update={"reason": str(number)}), keys) for number in range(10))
    )
    entries, head = await history.read_history("many")

    assert sorted(entry.event.reason for entry in entries) == sorted(map(str, range(10)))
    assert problems(entries, head, keys) == []
    assert await history.endpoints() == sorted({*await history.endpoints(), "Many"})
    names = [name for name in await variables.newest("saferollout_history_many") if not name.endswith("head")]
    kept = await variables.get(names[0])
    await variables.put(names[0], kept | {"event": kept["event"] | {"reason": "another"}})
    changed, head = await history.read_history("many")
    assert problems(changed, head, keys) == ["entry 10 was changed: its digest does not match what it says"]
    await variables.delete(names[0])
    removed, head = await history.read_history("many")
    assert problems(removed, head, keys) == ["entry 10 is missing: the newest entries were removed"]
    await variables.create(names[0], {"number": 10})
    assert (await history.append(event, keys)).number == 11
    forged, head = await history.read_history("many")
    assert problems(forged, head, keys)[0] == "entry 11 follows entry 9: some were removed or moved"


async def test_what_the_api_forges_in_the_history_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that no worker has signed is no answer: the question is asked."""
    with current(Case()) as case:
        run = await deployed()
        await go_on(run)
        keys = (await question_of(run)).response.removeprefix("suspended-").removesuffix("-response")
        stolen = case.rollout.model_copy(update={"flow_run": str(run.id)})
        monkeypatch.setattr("tasks.support.history.run_id", lambda: run.id)
        decision = {"stage": 10, "decision": "approve", "approver": "Mallory", "at": now(), "evidence": "e"}
        event = history.event_of(stolen, "decision", "", Decision.model_validate(decision), question=keys)
        await history.append(event, Keyring())

        assert keys not in await history.rulings("shop", case.rollout.id, make_keys(PEM))
        assert json.dumps(keys) in json.dumps([*await history.rulings("shop", case.rollout.id, Keyring())])


def test_commands_list_the_history_and_report_what_was_changed(tmp_path: Path) -> None:
    """`history --verify` exits with 1 as soon as one entry is another; the public key is enough to check."""
    (tmp_path / "public.pem").write_text(public_pem(PEM))
    event = HistoryEvent(
        kind="outcome",
        at=now(),
        workspace="w",
        endpoint="listed",
        rollout="r-1",
        flow_run="f",
        candidate="green",
        revision="v",
        reason="promoted: fine",
    )
    arguments = ["history", "listed", "--verify", "--json", "--key", str(tmp_path / "public.pem")]
    for number in (1, 2):
        later = event.model_copy(update={"at": now()})
        assert asyncio.run(history.append(later, make_keys(PEM))).number == number
        assert asyncio.run(history.append(later, make_keys(PEM))).number == number  # asked again: the reply was lost

    holds = CliRunner().invoke(app, arguments)
    name = next(iter(asyncio.run(variables.newest("saferollout_history_listed", 1))))
    assert name.endswith("head")
    asyncio.run(variables.delete(name.replace("head", "00000002")))
    broken = CliRunner().invoke(app, arguments)

    assert (holds.exit_code, json.loads(holds.stdout)["outcome"]) == (0, "verified")
    assert [entry["event"]["reason"] for entry in json.loads(holds.stdout)["entries"]] == ["promoted: fine"] * 2
    assert (broken.exit_code, json.loads(broken.stdout)["problems"]) == (
        1,
        ["listed: entry 2 is missing: the newest entries were removed"],
    )
    text = " ".join(CliRunner().invoke(app, ["history"]).stdout.split())
    assert re.search(r"#1 · \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC · listed, rollout ", text), text
    assert "promoted: fine" in text


def test_an_approver_is_enrolled_once_and_the_secret_shown_once(stack: Stack) -> None:
    """It is kept in a Secret block, which a worker reads; who enrols somebody again must say so."""
    shown = CliRunner().invoke(app, ["approver", "enroll", "Fay Lee"])
    again = CliRunner().invoke(app, ["approver", "enroll", "Fay Lee"])
    secret = asyncio.run(totp_secret("fay lee"))

    assert shown.exit_code == 0, shown.output
    assert secret is not None
    assert shown.output.count(secret) == 1
    assert "Kept in Prefect's Secret block saferollout-totp-fay-lee-" in " ".join(shown.output.split())
    assert isinstance(again.exception, Refused)
    assert asyncio.run(totp_secret("fay lee")) == secret
    by_variable = CliRunner().invoke(app, ["approver", "enroll", "Gil", "--environment"])
    assert totp.variable_of("Gil") in by_variable.output
    assert asyncio.run(totp_secret("Gil")) is None
    assert CliRunner().invoke(app, ["approver", "enroll", "Fay Lee", "--replace"]).exit_code == 0
    assert asyncio.run(totp_secret("fay lee")) != secret
    assert secret not in dump(stack.directory / "prefect" / "prefect.db")


async def test_a_key_may_be_in_a_secret_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment holds none; whoever reads Prefect's blocks has it, too."""
    monkeypatch.delenv(KEY)
    assert not await load_keys()

    await Secret(value=PEM).asave(SIGNING_KEY)
    try:
        assert (await load_keys()).signer == make_keys(PEM).signer
    finally:
        await Secret.adelete(SIGNING_KEY)


async def test_rules_that_cannot_be_kept_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key whoever reaches the API could forge what a code has proven; an unknown requester could approve."""
    proven = Case(approvals={"verify": "totp"}).rollout.project
    strict = Case(approvals={"not_requester": True}).rollout.project
    await check_approvals(proven)
    await check_approvals(strict.for_request(RolloutRequest(by="Ann")))
    with pytest.raises(
        ConfigError, match=r"approvals.not_requester: who requested this rollout may not approve it, and"
    ):
        await check_approvals(strict)

    monkeypatch.delenv(KEY)
    await check_approvals(Case().rollout.project)
    with pytest.raises(ConfigError, match=r"approvals.verify: needs a signing key, and this worker has none in"):
        await check_approvals(proven)
