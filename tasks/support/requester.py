"""Who wanted the current run's rollout."""

from prefect.context import FlowRunContext

from saferollout.approvals.requester import Requester, find_requester
from saferollout.config.handover import read_event


def requester_of(event: str, given: str) -> Requester:
    """Who wanted the rollout, as the event or whoever started the run says, or as far as Prefect knows."""
    context = FlowRunContext.get()
    creator = context.flow_run.created_by if context and context.flow_run else None
    return find_requester(
        read_event(event).requester if event else "", given, (creator.display_value if creator else "") or ""
    )
