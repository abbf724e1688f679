"""Answer approvals from outside the run, through the same API that Prefect's UI uses."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable
from typing import Literal
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import FlowPauseTimeout, NotPausedError, ObjectNotFound
from prefect.flow_runs import aresume_flow_run
from pydantic import Field
from rich.console import Console
from rich.markdown import Markdown
from rich.prompt import Prompt

from saferollout.cli.choices import Approve
from saferollout.daemon import in_daemon
from saferollout.domain import Value
from saferollout.errors import Refused

POLL_S = 1.0


class Question(Value):
    """What a waiting run asks."""

    text: str
    """What changes and the evidence, in markdown."""
    evidence: str
    """The digest that an answer must carry; the server takes no answer to anything else."""

    @property
    def title(self) -> str:
        """The question itself."""
        return self.text.splitlines()[0].lstrip("# ")


class Answer(Value):
    """What a person says, as an approval's form takes it."""

    decision: Literal["approve", "reject"]
    approver: str = Field(min_length=1, max_length=60)
    comment: str = Field("", max_length=500)


Ask = Callable[[Question], Awaitable[Answer | None]]
"""Makes an answer of a question; None leaves it to somebody else."""


def asker(how: Approve, console: Console, link: str, command: str) -> Ask:
    """The way to answer that the user chose; ``link`` and ``command`` lead to the others."""

    async def ask(question: Question) -> Answer | None:
        if how is Approve.AUTO:
            return Answer(decision="approve", approver=getpass.getuser(), comment="approved by --approve auto")
        if how is Approve.UI:
            console.print(f"[bold yellow]Waiting for you:[/] {question.title}")
            console.print(f"  answer at {link} (Resume)\n  or with `{command}`", soft_wrap=True, highlight=False)
            return None
        console.print(Markdown(question.text))
        return await in_daemon(lambda: _prompt(console), "prompt")

    return ask


def _prompt(console: Console) -> Answer:
    decision = Prompt.ask("Your decision", choices=["approve", "reject"], console=console)
    comment = Prompt.ask("Comment", default="", show_default=False, console=console)
    return Answer.model_validate({"decision": decision, "approver": getpass.getuser(), "comment": comment[:500]})


async def waiting_question(client: PrefectClient, run: FlowRun) -> Question | None:
    """What a waiting run asks; None if it waits for nobody."""
    if run.state is None or not run.state.is_paused():
        return None
    keys = run.state.state_details.run_input_keyset
    if not keys:
        return None
    try:
        text = json.loads(await client.read_flow_run_input(run.id, keys["description"]))
        form = json.loads(await client.read_flow_run_input(run.id, keys["schema"]))
    except ObjectNotFound:
        return None  # the run pauses first and writes its question a moment later
    return Question(text=str(text), evidence=form["properties"]["evidence"]["const"])


async def answer(run_id: UUID, given: Answer, evidence: str | None = None) -> Question:
    """Answer the approval that a run waits at and return what it asked.

    Refused if the run waits for nobody, or if ``evidence`` names another question than it asks now.
    """
    async with get_client() as client:
        try:
            run = await client.read_flow_run(run_id)
        except ObjectNotFound:
            msg = f"there is no flow run {run_id} on this Prefect server"
            raise Refused(msg) from None
        if (question := await waiting_question(client, run)) is None:
            msg = f"flow run {run_id} ({run.name}) is {run.state_name} and waits for no approval"
            raise Refused(msg)
    if evidence and evidence != question.evidence:
        msg = f"flow run {run_id} asks something else by now: {question.title} (evidence {question.evidence})"
        raise Refused(msg)
    await _resume(run_id, given, question)
    return question


async def _resume(run_id: UUID, given: Answer, question: Question) -> None:
    try:
        await aresume_flow_run(run_id, run_input=given.model_dump() | {"evidence": question.evidence})
    except (NotPausedError, FlowPauseTimeout, RuntimeError) as error:  # how Prefect says that the server refused
        msg = f"the answer was not taken: {error}"
        raise Refused(msg) from None


async def attend(run_id: UUID, ask: Ask) -> FlowRun:
    """Stay with a run until its end, and answer each of its questions once."""
    asked: Question | None = None
    async with get_client() as client:
        while True:
            run = await client.read_flow_run(run_id)
            if run.state and run.state.is_final():
                return run
            question = await waiting_question(client, run)
            if question is not None and question != asked:
                asked = question
                if given := await ask(question):
                    try:
                        await _resume(run_id, given, question)
                    except Refused:
                        # an answer that came too late is nobody's loss; one that is wrong in itself is
                        if await waiting_question(client, await client.read_flow_run(run_id)) == question:
                            raise
            await asyncio.sleep(POLL_S)
