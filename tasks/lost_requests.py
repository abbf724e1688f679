"""Lost requests: rollouts asked for, and whose processes were lost before a record said so on the endpoint."""

import asyncio
from uuid import UUID

from prefect import get_client, task
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from saferollout.config.rollout import MAX_RESUMES
from saferollout.domain.errors import Missing
from saferollout.rollout.guard import SETTLING_S, Sign, lost_before_it_began
from saferollout.rollout.record import Record, now
from tasks.begin import baselines_of
from tasks.support import runs
from tasks.support.access import in_workspace
from tasks.support.policy import STEP
from tasks.support.this_run import target_of
from tasks.support.turns import look_after_all

ROLLOUT = FlowFilter(name=FlowFilterName(any_=["rollout"]))
AT_WORK = FlowRunFilter(
    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING]))
)


@task(task_run_name="look for lost requests", **STEP)
async def recover_unbegun(flow_run: UUID | None = None) -> dict[str, str]:
    """Have the rollouts begin again whose request would be lost, and say in a line for each run what was done.

    The endpoints do not show them: a worker lost its machine before the run took its baseline, or while it waited for
    another rollout's end. Only runs of a deployment; by default those that Prefect shows at work, else this `flow_run`.

    Raises:
        AzureFailed: It cannot be seen whether a rollout has begun; raised when all runs had their turn.
    """
    async with get_client() as client:
        if flow_run is None:
            found = await client.read_flow_runs(flow_filter=ROLLOUT, flow_run_filter=AT_WORK)
        else:
            found = [await client.read_flow_run(flow_run)]
        deployed = {str(run.id): run for run in found if run.deployment_id}
        done = await look_after_all(deployed, lambda key: _recover(client, deployed[key]))
    return {f"run {deployed[key].name}": line for key, line in done.items() if line}


async def _recover(client: PrefectClient, run: FlowRun) -> str:
    """What was done about the run; empty if nothing had to be."""
    shown = await runs.describe_run(client, run)
    if shown and shown.sign is Sign.CRASHED:
        await asyncio.sleep(max(0.0, SETTLING_S - (now() - shown.since).total_seconds()))
    if shown is None or not (how := lost_before_it_began(shown, now())) or await _has_record(run):
        return ""
    resumes = [state for state in await client.read_flow_run_states(run.id) if state.name == "AwaitingRetry"]
    if await baselines_of(run.id):
        said = (
            "its rollout is over, and its process was lost before it reported the end; see its report, if there is one"
        )
    elif len(resumes) >= MAX_RESUMES:
        said = f"nothing was begun, although it began again {len(resumes)} times: see its logs, then ask once more"
    else:
        said = ""
    read = await client.read_flow_run(run.id)
    if read.state is None or run.state is None or read.state.id != run.state.id:
        return ""  # somebody else has done something about it meanwhile
    if not said:
        await runs.begin_again(client, run.id)
        return f"{how}, and nothing was begun: it begins again ({len(resumes) + 1} of {MAX_RESUMES})"
    if shown.sign is not Sign.CRASHED:
        await client.set_flow_run_state(run.id, Crashed(message=said), force=True)
    return f"{how}; {said}"


async def _has_record(run: FlowRun) -> bool:
    """Whether a record says what is to be done about it, which is the endpoint's guard's to do."""
    target = target_of(run)
    if target is None:
        return False
    workspace, endpoint = target
    if endpoint is None:
        return True  # somebody else's label: it may have one
    try:
        state = await in_workspace(workspace, lambda azure: azure.get_endpoint(endpoint))
    except Missing:
        return False
    record = Record.from_tags(state.tags)
    return record is not None and record.owner.flow_run == str(run.id)
