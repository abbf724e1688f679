"""Reply approvals from outside the run, through the same API that Prefect's UI uses."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import Field, SecretStr
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.prompt import Prompt

from saferollout.domain.endpoint import Choice, Value
from saferollout.domain.errors import Refused
from saferollout.domain.text import printable
from saferollout.rollout.owner import user_name
from saferollout.rollout.record import PREFIX
from saferollout_cli.choices import Approve
from tasks.support.orchestrator import if_known, passing
from tasks.support.polling import poll
from tasks.support.threads import run_in_daemon_thread

POLL_S = 1.0
ONLY_AT_THE_PAGE = "approvers of this rollout sign in: answer at the approvals page (saferollout approvals serve)"
WRITTEN_S = 30.0
"""How long a run that waits may take to write its question."""


class WaitingQuestion(Value):
    """What a waiting run asks."""

    text: str
    """What changes and the evidence, in markdown."""
    evidence: str
    """The digest that an answer must carry; the server takes no answer to anything else."""
    response: str
    """Where Prefect keeps the answer that was taken, among the run's inputs."""
    wants_code: bool = False
    """Whether an answer must hold a code."""
    wants_proof: bool = False
    """Whether an answer must be signed by the approvals page."""
    approvers: tuple[str, ...] = ()
    """Whose signature counts there; empty if anybody's."""
    finding: str = ""
    """The evidence in a line."""

    @property
    def title(self) -> str:
        """The question itself."""
        return self.text.splitlines()[0].lstrip("# ")


class Reply(Value):
    """What a person says, as an approval's form takes it."""

    decision: Choice
    approver: str = Field(min_length=1, max_length=60)
    comment: str = Field("", max_length=500)
    code: SecretStr = SecretStr("")
    """Proves who decides, where the question wants it."""
    proof: str = ""
    """The signature of the approvals page, where the question wants it."""

    def as_input(self, question: WaitingQuestion) -> dict[str, str]:
        """What Prefect gets.

        Raises:
            Refused: The question wants a code or a signature, and none is given.
        """
        given = self.model_dump(exclude={"code", "proof"}) | {"evidence": question.evidence}
        if question.wants_proof:
            if not self.proof:
                raise Refused(ONLY_AT_THE_PAGE)
            return given | {"proof": self.proof}
        if not question.wants_code:
            return given
        if not (code := self.code.get_secret_value()):
            msg = "this approval needs a code of yours: give it with --code, or answer in a terminal"
            raise Refused(msg)
        return given | {"code": code}


Give = Callable[[PrefectClient, UUID, Reply, WaitingQuestion], Awaitable[None]]
"""Gives an answer; raises Refused if it is not taken."""
Ask = Callable[[WaitingQuestion], Awaitable[Reply | None]]
"""Makes an answer of a question; None leaves it to somebody else."""


def asker(how: Approve, console: Console, ways: str) -> Ask:
    """The way to answer that the user chose; `ways` says which others there are."""
    answered: set[str] = set()

    async def ask(question: WaitingQuestion) -> Reply | None:
        is_new = question.evidence not in answered
        answered.add(question.evidence)
        if how is Approve.AUTO and is_new and not question.wants_code and not question.wants_proof:
            return Reply(decision="approve", approver=user_name(), comment="approved by --approve auto")
        if (
            how is not Approve.ASK or question.wants_proof
        ):  # what was answered once, and is asked again, somebody else must answer
            console.print(f"[bold yellow]Waiting for you:[/] {escape(printable(question.title))}")
            console.print(f"  {ways}", soft_wrap=True, highlight=False, markup=False)
            return None
        console.print(Markdown(printable(question.text)))
        return await run_in_daemon_thread(lambda: _prompt(console, question), "prompt")

    return ask


def _prompt(console: Console, question: WaitingQuestion) -> Reply:
    decision = Prompt.ask("Your decision", choices=["approve", "reject"], console=console)
    comment = Prompt.ask("Comment", default="", show_default=False, console=console)
    code = Prompt.ask("Code", password=True, console=console) if question.wants_code else ""
    given = {"decision": decision, "approver": user_name(), "comment": comment[:500], "code": code}
    return Reply.model_validate(given)


def asks(run: FlowRun) -> bool:
    """Whether a run waits for an answer; its question may be written a moment later."""
    return run.state is not None and run.state.is_paused() and bool(run.state.state_details.run_input_keyset)


async def stored(client: PrefectClient, run_id: UUID, key: str) -> Any:
    """What Prefect keeps among a run's inputs under this key; None if there is nothing."""
    try:
        return json.loads(await client.read_flow_run_input(run_id, key))
    except httpx.HTTPStatusError as error:  # what the client raises here, and nothing of its own
        if error.response.status_code == 404:
            return None
        raise


async def waiting_question(client: PrefectClient, run: FlowRun) -> WaitingQuestion | None:
    """What a waiting run asks; None if it waits for nobody, or has not written its question yet.

    Raises:
        Refused: It asks for something else than an approval.
    """
    if run.state is None or not asks(run) or (keys := run.state.state_details.run_input_keyset) is None:
        return None
    text = await stored(client, run.id, keys["description"])
    form = await stored(client, run.id, keys["schema"])
    if text is None or form is None:
        return None
    try:
        evidence = form["properties"]["evidence"]["const"]
    except (KeyError, TypeError):
        msg = (
            f"flow run {run.id} ({run.name}) asks for something else than an approval of a rollout; answer it in the UI"
        )
        raise Refused(msg) from None
    fields = form["properties"]
    return WaitingQuestion(
        text=text,
        evidence=evidence,
        response=keys["response"],
        wants_code="code" in fields,
        wants_proof="proof" in fields,
        approvers=tuple(fields.get("proof", {}).get("approvers", [])),
        finding=str(fields.get("decision", {}).get("description", "")).partition("\n")[0],
    )


async def answer(
    target: UUID | str,
    given: Reply,
    evidence: str | None = None,
    read: Callable[[WaitingQuestion, Reply], Reply] = lambda _, given: given,
    give: Give | None = None,
) -> WaitingQuestion:
    """Answer the approval that a run, or an endpoint's, waits at and return what it asked.

    `read` gets question and answer before, and returns the answer to give; `give` takes the place of `resume`.

    Raises:
        Refused: Nothing waits, or `evidence` names another question than it asks now.
    """
    async with get_client() as client:
        run_id = await _waiting_run(client, target) if isinstance(target, str) else target
        question = await _written_question(client, run_id)
        if evidence and evidence != question.evidence:
            msg = f"flow run {run_id} asks something else by now: {question.title} (evidence {question.evidence})"
            raise Refused(msg)
        await (give or resume)(client, run_id, read(question, given), question)
    return question


async def _waiting_run(client: PrefectClient, endpoint: str) -> UUID:
    """The run of this endpoint's rollout that waits for an approval.

    Raises:
        Refused: There is none, or more than one.
    """
    waiting = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
    runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=waiting), sort=FlowRunSort.START_TIME_DESC)
    found = [run for run in runs if run.labels.get(f"{PREFIX}endpoint") == endpoint and asks(run)]
    if not found:
        msg = (
            f"no rollout of an endpoint {endpoint} waits for an approval on this Prefect server ({client.api_url}); "
            "name the endpoint as Azure does, or the flow run's id"
        )
        raise Refused(msg)
    if len(found) > 1:
        msg = (
            f"{len(found)} runs wait for an approval of {endpoint}; name one: {', '.join(str(run.id) for run in found)}"
        )
        raise Refused(msg)
    return found[0].id


async def _written_question(client: PrefectClient, run_id: UUID) -> WaitingQuestion:
    """What the run asks, waiting a moment for a question that is not written yet.

    Raises:
        Refused: It asks nothing.
    """

    async def look() -> WaitingQuestion | None:
        run = await if_known(client.read_flow_run(run_id))
        if run is None:
            msg = f"there is no flow run {run_id} on this Prefect server"
            raise Refused(msg)
        if (question := await waiting_question(client, run)) is None and not asks(run):
            why = f" ({run.state.message})" if run.state and run.state.is_final() and run.state.message else ""
            msg = f"flow run {run_id} ({run.name}) is {run.state_name}{why} and does not wait for an approval"
            raise Refused(msg)
        return question

    if (question := await poll(look, POLL_S, WRITTEN_S)) is None:
        msg = f"flow run {run_id} waits, but has written no question within {WRITTEN_S:.0f} s; try again"
        raise Refused(msg)
    return question


async def resume(client: PrefectClient, run_id: UUID, given: Reply, question: WaitingQuestion) -> None:
    """Give the answer.

    Raises:
        Refused: The server did not take it, or took another one before.
    """
    stored_answer = given.as_input(question)
    result = await client.resume_flow_run(run_id, run_input=stored_answer)
    if result.status is SetStateStatus.ACCEPT:
        return
    kept = await stored(client, run_id, question.response)
    if kept in (stored_answer, {key: value for key, value in stored_answer.items() if key != "code"}):
        return  # it was taken, but the server's reply got lost, and Prefect's client asked again
    msg = f"the answer was not taken: {getattr(result.details, 'reason', None) or result.status.value}"
    raise Refused(msg)


async def attend(run_id: UUID, ask: Ask, report: Callable[[str], None]) -> FlowRun:
    """Stay with a run until its end, and answer each of its questions; each is asked once.

    While Prefect's server fails this goes on, and `report` gets a line when that begins and when it is over.
    """
    answers: dict[WaitingQuestion, Reply | None] = {}
    failing = False
    async with get_client() as client:
        while True:
            try:
                run = await client.read_flow_run(run_id)
                if run.state and run.state.is_final():
                    return run
                question = await waiting_question(client, run)
                if question and question not in answers:
                    answers[question] = await ask(question)
                if question and (given := answers[question]):
                    await _resume_in_time(client, run_id, given, question)
                if failing:
                    failing = False
                    report("Prefect's server answers again")
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                if not passing(error):
                    raise
                if not failing:
                    failing = True
                    why = " ".join(str(error).split()) or type(error).__name__
                    report(f"Prefect's server fails ({why}); approvals are answered as soon as it is back")
            await asyncio.sleep(POLL_S)


async def _resume_in_time(client: PrefectClient, run_id: UUID, given: Reply, question: WaitingQuestion) -> None:
    """`resume`; an answer that came too late is nobody's loss, one that is wrong in itself is Refused."""
    try:
        await resume(client, run_id, given, question)
    except Refused:
        if await waiting_question(client, await client.read_flow_run(run_id)) == question:
            raise
