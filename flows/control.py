"""Control: a person ends, pauses, continues, hurries or retries a rollout, from Prefect."""

from prefect import flow

from saferollout.config.names import check_endpoint
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from tasks.control import Action, act


@flow(flow_run_name="{action} {endpoint}", persist_result=True, result_serializer="json")
async def control(
    endpoint: str, action: Action, by: str, comment: str = "", workspace: WorkspaceConfig | None = None
) -> str:
    """Do something with the rollout that is under way, and say what was done.

    Args:
        endpoint: The endpoint's name.
        action: `abort` rolls back and ends the run; `pause` stops it before its next step, `continue` lets it go on;
            `promote` skips the judge that watches now or next, and needs a comment; `retry` schedules a run again that
            has failed or hangs.
        by: Who wants it, for the record.
        comment: Why, for the record.
        workspace: Where the endpoint is; by default what the environment names.
    """
    check_endpoint("control", endpoint)
    return await act(resolve_workspace(workspace), endpoint, action, by, comment)
