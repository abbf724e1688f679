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
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import aresume_flow_run
from rich.console import Console
from rich.markdown import Markdown
from rich.prompt import Prompt

from saferollout.cli.choices import Approve
from saferollout.domain import Value
from saferollout.errors import Refused

POLL_S = 1.0


class Answer(Value):
    """What a person says, as an approval's form takes it."""

    decision: Literal["approve", "reject"]
    approver: str
    comment: str = ""


Ask = Callable[[str], Awaitable[Answer | None]]
"""Makes an answer of a question (markdown); None leaves it to somebody else."""


def asker(how: Approve, console: Console, link: str) -> Ask:
    """The way to answer that the user chose."""

    async def ask(question: str) -> Answer | None:
        title = question.splitlines()[0].lstrip("# ")
        if how is Approve.AUTO:
            return Answer(decision="approve", approver=getpass.getuser(), comment="approved by --approve auto")
        if how is Approve.UI:
            console.print(f"[bold yellow]Waiting for you:[/] {title}\n  answer at {link} (⋮ → Resume)")
            return None
        console.print(Markdown(question))
        return await asyncio.to_thread(_prompt, console)

    return ask


def _prompt(console: Console) -> Answer:
    decision = Prompt.ask("Your decision", choices=["approve", "reject"], console=console)
    comment = Prompt.ask("Comment", default="", show_default=False, console=console)
    return Answer.model_validate({"decision": decision, "approver": getpass.getuser(), "comment": comment})


async def waiting_question(client: PrefectClient, run: FlowRun) -> str | None:
    """The evidence that a waiting run shows, as markdown; None if the run waits for nobody."""
    if run.state is None or not run.state.is_paused():
        return None
    keys = run.state.state_details.run_input_keyset
    if not keys:
        return None
    try:
        return str(json.loads(await client.read_flow_run_input(run.id, keys["description"])))
    except ObjectNotFound:
        return None  # the run pauses first and writes its question a moment later


async def answer(run_id: UUID, given: Answer) -> str:
    """Answer the approval that a run waits at and return what it asked; Refused if it waits for nobody."""
    async with get_client() as client:
        try:
            run = await client.read_flow_run(run_id)
        except ObjectNotFound:
            msg = f"there is no flow run {run_id} on this Prefect server"
            raise Refused(msg) from None
        if (question := await waiting_question(client, run)) is None:
            msg = f"flow run {run_id} ({run.name}) is {run.state_name} and waits for no approval"
            raise Refused(msg)
    await aresume_flow_run(run_id, run_input=given.model_dump())
    return question


async def attend(run_id: UUID, ask: Ask) -> FlowRun:
    """Stay with a run until its end, and answer each of its questions once."""
    asked: str | None = None
    async with get_client() as client:
        while True:
            run = await client.read_flow_run(run_id)
            if run.state and run.state.is_final():
                return run
            question = await waiting_question(client, run)
            if question is not None and question != asked:
                asked = question
                given = await ask(question)
                # somebody else may have answered meanwhile, and the run may ask something new by now
                if given and await waiting_question(client, await client.read_flow_run(run_id)) == question:
                    await aresume_flow_run(run_id, run_input=given.model_dump())
            await asyncio.sleep(POLL_S)
