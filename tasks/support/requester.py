"""Who wanted the current run's rollout."""

from prefect.context import FlowRunContext

from saferollout.approvals.requester import Requester, find_requester


def requester_of(by: str, *, is_event: bool = False) -> Requester:
    """Who wanted the rollout, as the event or whoever started the run says, or as far as Prefect knows."""
    context = FlowRunContext.get()
    creator = context.flow_run.created_by if context and context.flow_run else None
    event, given = (by, "") if is_event else ("", by)
    return find_requester(event, given, (creator.display_value if creator else "") or "")
