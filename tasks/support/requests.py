"""Requests in Prefect: made once under a key, noted at the run that began, found again by the next one."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from prefect import get_client, runtime
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Cancelling

from saferollout.config.project import Project
from saferollout.config.request import RolloutRequest
from saferollout.domain.errors import Refused, words_of
from tasks.support.orchestrator import if_known
from tasks.support.this_run import AWAY, marks, run_id

DEPLOYMENT = "rollout/rollout"


class Submitted(NamedTuple):
    """A run of the deployed rollout."""

    flow_run: UUID
    name: str


async def submit(
    request: RolloutRequest, *, wait: bool = False, again: bool = False, ignore_freeze: str = ""
) -> Submitted:
    """Start the deployed rollout; the run that is there already where the same id was submitted before.

    Raises:
        Refused: It is not deployed on the Prefect server.
        ObjectNotFound: What answers is not Prefect.
    """
    given = request.model_dump(mode="json") | {"wait": wait, "again": again, "ignore_freeze": ignore_freeze}
    async with get_client() as client:
        if (deployment := await if_known(client.read_deployment_by_name(DEPLOYMENT))) is None:
            msg = f"deployment {DEPLOYMENT} is not on this Prefect server; run `saferollout setup` first"
            raise Refused(msg)
        run = await client.create_flow_run_from_deployment(
            deployment.id, parameters=given, idempotency_key=key_of(request)
        )
    return Submitted(run.id, run.name)


def key_of(request: RolloutRequest) -> str | None:
    """The key under which Prefect makes one run only; None for a request without an id."""
    return f"{request.config} {request.request_id}" if request.request_id else None


async def submitted(requests: Sequence[RolloutRequest]) -> dict[str, FlowRun]:
    """The runs that were made for these requests before, by the requests' ids."""
    keys = {key: request.request_id for request in requests if (key := key_of(request))}
    if not keys:
        return {}
    by_key = FlowRunFilterIdempotencyKey(any_=list(keys))
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=by_key), limit=200)
    return {keys[run.idempotency_key]: run for run in runs if run.idempotency_key}


async def earlier(project: Project) -> str:
    """Why there is nothing to do: another run of the endpoint has begun for the same request; empty if none has.

    An event has no key, nor has a run that somebody makes in Prefect's UI: these are found here.
    """
    if not project.request.request_id or not runtime.deployment.id:
        return ""
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[_tag(project)])),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )
    for run in runs:
        if run.id != run_id() and marks(run).get("endpoint") == project.endpoint:
            return (
                f"already requested by run {run.id} ({run.state_name}); nothing to do: "
                "to try again, ask with another request id"
            )
    return ""


async def note(project: Project) -> None:
    """Note at this run, which has begun, for which request."""
    if not project.request.request_id or not runtime.deployment.id:
        return
    async with get_client() as client:
        run = await client.read_flow_run(run_id())
        await client.update_flow_run(run.id, tags=sorted({*run.tags, _tag(project)}))


def _tag(project: Project) -> str:
    return f"request:{project.request.request_id}"


async def cancel(flow_run: str) -> None:
    """Cancel the run of a rollout that this one has superseded: its rollout is lost, and it may wait for a person."""
    try:
        async with get_client() as client:
            run = await client.read_flow_run(UUID(flow_run))
            message = f"superseded by run {run_id()}"
            waits = run.state is not None and run.state.is_paused()  # then the server would drop the message
            state: State[Any] = Cancelled(message=message) if waits else Cancelling(message=message)
            await client.set_flow_run_state(run.id, state)
    except (*AWAY, ObjectNotFound) as error:  # it finds out by itself at its next step
        warning = "run %s, whose rollout is superseded, was not cancelled: %s"
        get_run_logger().warning(warning, flow_run, words_of(error))
