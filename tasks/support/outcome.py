"""The end of a rollout as the guard reports it, in the place of a process that is gone."""

from typing import Literal

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import PrefectClient

from saferollout.approvals.history import HistoryEvent
from saferollout.config.rollout import LeftCandidate, WorkspaceConfig
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.evidence import Evidence
from saferollout.report.outcome import Outcome
from saferollout.rollout.record import Record, now
from tasks.support import runs
from tasks.support.access import in_workspace
from tasks.support.artifacts import publish
from tasks.support.history import append_end
from tasks.support.keys import load_keys
from tasks.support.orchestrator import insist
from tasks.support.results import Kept

NOT_ON_RECORD = "the end of the rollout is not in the history"
END_S = 90.0
"""How long Prefect may take to end a run, for which the guard tries again at its next look, or to take the record.

On SQLite its server waits for a minute until it answers that the database is locked: then it is asked once more.
"""


async def outcome_of(
    workspace: WorkspaceConfig,
    endpoint: str,
    record: Record,
    outcome: Literal["promoted", "rolled_back"],
    reason: str,
    kept: Kept | None,
    evidence: Evidence | None = None,
) -> Outcome:
    """What became of the rollout, from what Azure shows, its run has kept, and the guard has found."""
    state = await in_workspace(workspace, lambda azure: azure.get_endpoint(endpoint))
    found = [*(kept.evidence if kept else []), *([evidence] if evidence else [])]
    return Outcome(
        outcome=outcome,
        reason=reason,
        endpoint=endpoint,
        rollout=record.rollout,
        live=record.candidate if outcome == "promoted" else record.baseline.live,
        candidate=record.candidate,
        model=record.model,
        environment=record.environment,
        inputs=kept.project.inputs if kept else {},
        traffic=state.traffic,
        instance_counts={name: deployment.instance_count for name, deployment in state.deployments.items()},
        decisions=list(record.approvals.values()),
        evidence=[item.for_programs() for item in found],
        duration_s=(now() - record.since).total_seconds(),
    )


async def close(client: PrefectClient, workspace: WorkspaceConfig, record: Record, outcome: Outcome) -> bool:
    """End the run with this outcome, show its report and put it into the history; whether Prefect has ended the run."""
    (is_closed,) = await publish(runs.close(client, record, outcome), limit_s=END_S, failure="the run is not ended yet")
    if is_closed:
        report = acreate_markdown_artifact(
            markdown=outcome.report, key=f"{outcome.endpoint.lower()}-report", description=outcome.reason
        )
        await publish(report)
        await publish(_record(workspace, record, outcome), limit_s=END_S, failure=NOT_ON_RECORD)
    return bool(is_closed)


async def _record(workspace: WorkspaceConfig, record: Record, outcome: Outcome) -> None:
    event = HistoryEvent(
        kind="outcome",
        at=now(),
        workspace=workspace.name,
        endpoint=outcome.endpoint,
        rollout=record.rollout,
        flow_run=record.owner.flow_run,
        candidate=record.candidate,
        revision=record.revision,
        requester=record.requester.name,
        reason=f"{outcome.outcome}: {outcome.reason}",
    )
    keys = await load_keys()
    await insist(lambda: append_end(event, keys), END_S)


def is_back(state: EndpointState, record: Record) -> bool:
    """Whether nothing is left to be rolled back."""
    live = state.deployments.get(record.baseline.live)
    is_left = record.left_candidate is LeftCandidate.DELETE and record.candidate in state.deployments
    is_counted = live is not None and live.instance_count == record.baseline.instance_count
    return state.traffic == record.baseline.traffic and is_counted and not is_left
