"""The end of a rollout: the old deployment is kept for a while, or goes at once."""

from datetime import timedelta

from saferollout import planning
from saferollout.azure import Workspace
from saferollout.domain import Plan
from saferollout.errors import Refused
from saferollout.record import Phase, Record, now


def end(workspace: Workspace, plan: Plan, keep_s: float) -> None:
    """Put the end of the rollout on record, and delete the old deployment if it is not to be kept.

    The record comes first: whoever is killed in between has not left a rollout that can neither be finished nor
    undone. Raises Lost if the rollout is somebody else's by now.
    """
    state = workspace.existing(plan.endpoint)
    record = Record.from_tags(state.tags)
    if record is None and plan.live not in state.deployments:
        return  # an earlier try got that far
    until = now() + timedelta(seconds=keep_s)
    if record is None or record.rollout != plan.rollout or record.unfinished:
        workspace.update_endpoint(
            plan.endpoint, tags=lambda tags: planning.advanced(tags, plan, phase=Phase.KEEPING, keep_until=until)
        )
    retire_due(workspace, plan.endpoint)


def retire_due(workspace: Workspace, endpoint: str, *, at_once: bool = False) -> str:
    """Delete the old deployment if its keep window is over, and say what was done.

    Raises Refused while a rollout is under way.
    """
    record = Record.from_tags(workspace.existing(endpoint).tags)
    if record is None:
        return f"{endpoint} keeps nothing"
    if record.unfinished or record.keep_until is None:
        msg = f"rollout {record.rollout} of {endpoint} is unfinished; nothing is retired before its end"
        raise Refused(msg)
    if record.keep_until > now() and not at_once:
        return f"{endpoint} keeps {record.baseline.live} until {record.keep_until:%Y-%m-%d %H:%M:%S %Z}"
    workspace.delete_deployment(endpoint, record.baseline.live)
    workspace.update_endpoint(endpoint, tags=record.removed_from)
    return f"{record.baseline.live} of {endpoint} deleted"
