"""Report: what became of the rollout, as an artifact and as the run's result."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from prefect import get_client, runtime, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import TaskRunSort
from prefect.logging import get_run_logger

from saferollout.config.project import Project
from saferollout.domain.endpoint import Decision, EndpointState
from saferollout.domain.errors import SaferolloutError
from saferollout.domain.evidence import Evidence
from saferollout.domain.fault_points import Step
from saferollout.report.outcome import Outcome, StepRun, once
from saferollout.report.pictures import gallery
from saferollout.rollout import retire
from saferollout.rollout.hold import Hold
from saferollout.rollout.record import now
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.artifacts import publish
from tasks.support.attestation import record_outcome
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.outcome import END_S, NOT_ON_RECORD
from tasks.support.policy import STEP
from tasks.support.this_run import run_id


@task(task_run_name=named("report"), **STEP)
@bounded(Step.REPORT)
async def report(
    rollout: Rollout,
    outcome: Literal["promoted", "rolled_back"],
    reason: str,
    decisions: Sequence[Decision],
    evidence: Sequence[Evidence],
    hold: Hold | None = None,
) -> Outcome:
    """Read the endpoint and the steps back, write the report and return it.

    The rollout has ended, whatever becomes of this: where Azure cannot be read, what it showed last is reported.
    """
    state = await _read_back(rollout)
    async with get_client() as client:
        steps, durations = await publish(_steps(client, run_id()), _durations(client, run_id()))
    duration_s, waiting_s = durations or (0.0, 0.0)
    traffic = state.traffic if state else rollout.traffic(100) if outcome == "promoted" else rollout.baseline.traffic
    deployments = state.deployments if state else {}
    candidate = deployments.get(rollout.candidate)
    result = Outcome(
        outcome=outcome,
        reason=reason if state else f"{reason}; the endpoint could not be read for this report",
        endpoint=rollout.endpoint,
        rollout=rollout.id,
        live=max(traffic, key=lambda name: traffic[name], default=""),
        candidate=rollout.candidate,
        model=candidate.model if candidate else rollout.project.model,
        environment=candidate.environment if candidate else rollout.project.assets.get("environment", ""),
        inputs=rollout.project.inputs,
        hold=f"{rollout.hold} {hold.follows(rollout.endpoint) if hold else ''}".strip(),
        change=rollout.change,
        freeze_ignored=rollout.freeze_ignored,
        traffic=traffic,
        instance_counts={name: deployment.instance_count for name, deployment in deployments.items()},
        requester=rollout.requester.words,
        decisions=[*decisions, *(item.skip for item in evidence if item.skip)],
        evidence=[item.for_programs() for item in evidence],
        steps=steps or [],
        duration_s=duration_s,
        waiting_s=waiting_s,
    )
    await publish(
        acreate_markdown_artifact(
            markdown=f"{result.report}\n\n{gallery(evidence)}",
            key=f"{rollout.endpoint.lower()}-report",
            description=result.reason,
        )
    )
    await publish(record_outcome(rollout, result), limit_s=END_S, failure=NOT_ON_RECORD)
    return result


async def _read_back(rollout: Rollout) -> EndpointState | None:
    """The endpoint at the end; None, and a warning in the log, where it cannot be read."""
    try:
        return await in_workspace(rollout, lambda azure: azure.get_endpoint(rollout.endpoint))
    except SaferolloutError as error:
        get_run_logger().warning("the endpoint cannot be read, so the report shows its last known state: %s", error)
        return None


@task(task_run_name=named("nothing to do"), **STEP)
async def nothing_to_do(project: Project, duplicate: str = "") -> Outcome:
    """Say why there is nothing to do: by default that the live deployment is this very revision.

    Then an old deployment that is due is retired, also where that was cut short; a `duplicate` changes nothing.
    """
    workspace = project.config.workspace
    if not duplicate:
        await in_workspace(workspace, lambda azure: retire.retire(azure, project.endpoint))
    state = await in_workspace(workspace, lambda azure: azure.get_endpoint(project.endpoint))
    live = next(iter(state.traffic), "")
    serving = state.deployments.get(live)
    return Outcome(
        outcome="nothing_to_do",
        reason=duplicate or f"{live} is this revision already; nothing to do",
        endpoint=project.endpoint,
        live=live,
        model=serving.model if serving else "",
        environment=serving.environment if serving else "",
        inputs=project.inputs,
        traffic=state.traffic,
        instance_counts={name: deployment.instance_count for name, deployment in state.deployments.items()},
    )


async def _steps(client: PrefectClient, run_id: UUID) -> list[StepRun]:
    """The run's steps but this one."""
    runs = await client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])), sort=TaskRunSort.EXPECTED_START_TIME_ASC
    )
    return once(
        StepRun(
            name=run.name,
            state=run.state_name or "",
            attempts=run.run_count,
            duration_s=round(run.total_run_time.total_seconds(), 1),
            at=run.start_time,
        )
        for run in runs
        if str(run.id) != str(runtime.task_run.id)
    )


async def _durations(client: PrefectClient, run_id: UUID) -> tuple[float, float]:
    """Seconds since the run began, and seconds of them that it waited for an answer."""
    states = sorted(await client.read_flow_run_states(run_id), key=lambda state: state.timestamp)
    began = next((state.timestamp for state in states if state.is_running()), now())
    waiting = timedelta()
    for state, following in itertools.pairwise(states):
        if state.is_paused():
            waiting += following.timestamp - state.timestamp
    return (now() - began).total_seconds(), waiting.total_seconds()
