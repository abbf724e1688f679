"""Wait: for the end of a run of the deployed rollout, with an exit code and the report, as a pipeline wants it."""

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from uuid import UUID

import typer

from saferollout.domain import errors
from saferollout.domain.errors import AzureFailed, ConfigError, Refused, SaferolloutError
from saferollout.domain.text import as_markdown
from saferollout_cli.environment import check_server
from saferollout_cli.plan import Report
from saferollout_cli.running import link_to
from saferollout_cli.terminal import print_result, say, write_report

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

POLL_S = 2.0
LOST_S = 300.0
"""How long a crashed run may stay so: the guard has it begin again, or rolls back and ends it, long before."""


class Ended(NamedTuple):
    """How a run has ended."""

    outcome: str
    reason: str
    exit_code: int


def wait(
    flow_run: Annotated[UUID, typer.Argument(help="The flow run, as `submit` prints it.", show_default=False)],
    timeout_s: Annotated[
        float | None, typer.Option(min=1, help="Give up after so many seconds; the rollout goes on. Default: never.")
    ] = None,
    report: Report = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")] = False,
) -> None:
    """Wait for the end of a submitted rollout, and end as it did: 0 done, 1 rolled back or refused, 2, or 3."""
    check_server()
    ended, text = asyncio.run(_wait(flow_run, timeout_s))
    write_report(report, text)
    result = {"outcome": ended.outcome, "reason": ended.reason, "flow_run": str(flow_run), "report": text}
    print_result(result, text, as_json=as_json)
    raise typer.Exit(ended.exit_code)


async def _wait(flow_run: UUID, timeout_s: float | None) -> tuple[Ended, str]:
    """How the run has ended, and its report.

    Raises:
        Refused: There is no such run.
        AzureFailed: It has not ended in time.
    """
    from prefect import get_client

    said = ""
    until = time.monotonic() + timeout_s if timeout_s else None
    async with get_client() as client:
        while True:
            run = await _look(client, flow_run)
            if run and (ended := ending_of(run)):
                return await _with_report(client, run, ended)
            state = str(run.state_name) if run else ""
            if run and state != said:
                said = state
                say(f"{run.name}: {state}{await _where_to_answer(run)}")
            if until and time.monotonic() >= until:
                how = said or "Prefect does not answer"
                msg = f"flow run {flow_run} has not ended within {timeout_s:.0f} s ({how}); it goes on"
                raise AzureFailed(msg)
            await asyncio.sleep(POLL_S)


async def _where_to_answer(run: "FlowRun") -> str:
    return f"; answer at {await link_to(run.id)}" if run.state and run.state.is_paused() else ""


async def _look(client: "PrefectClient", flow_run: UUID) -> "FlowRun | None":
    """The run; None while Prefect's server fails."""
    import httpx

    from tasks.support.orchestrator import if_known, passing

    try:
        found = await if_known(client.read_flow_run(flow_run))
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        if not passing(error):
            raise
        return None
    if found is None:
        msg = f"there is no flow run {flow_run} on this Prefect server"
        raise Refused(msg)
    return found


def ending_of(run: Any) -> Ended | None:
    """How the run has ended; None if it has not, or may begin again."""
    from saferollout.rollout.record import now

    state = run.state
    if state is None or not state.is_final():
        return None
    reason = " ".join((state.message or "").split()) or str(state.name)
    if state.is_completed():
        return Ended("nothing_to_do" if "nothing to do" in reason else "promoted", reason, 0)
    if state.is_crashed() and (now() - state.timestamp).total_seconds() < LOST_S:
        return None
    if reason.startswith("rolled back:"):
        return Ended("rolled_back", reason, 1)
    if state.is_crashed():
        return Ended("failed", reason, 3)
    code = _code_of(reason)
    return Ended({1: "refused", 2: "invalid"}.get(code, "failed"), reason, code)


def _code_of(reason: str) -> int:
    """The exit code of the exception that Prefect names in a failed run's message; 1 where it names none of ours."""
    if reason.startswith("Validation of flow parameters failed"):
        return ConfigError.exit_code
    name = reason.partition(" exception: ")[2].partition(":")[0]
    kind = getattr(errors, name, None)
    return kind.exit_code if isinstance(kind, type) and issubclass(kind, SaferolloutError) else 1


async def _with_report(client: "PrefectClient", run: "FlowRun", ended: Ended) -> tuple[Ended, str]:
    """The end with the report that the run has published, without its pictures; else with what its state says."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.client.schemas.sorting import ArtifactSort

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    for found in await client.read_artifacts(artifact_filter=of_run, sort=ArtifactSort.UPDATED_DESC):
        if (found.key or "").endswith("-report"):
            text = re.split(r"\n\n## [^\n]*\n\n!\[", str(found.data), maxsplit=1)[0]
            return ended._replace(reason=found.description or ended.reason), text.strip()
    return ended, f"# {as_markdown(run.name)}: {ended.outcome.replace('_', ' ')}\n\n**{as_markdown(ended.reason)}**"
