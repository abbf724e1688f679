"""The end of a rollout: the old deployment is kept for a while, or goes at once."""

from datetime import datetime, timedelta

from saferollout.azure.retries import insist
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import Refused
from saferollout.rollout import drift
from saferollout.rollout.drain import BY_TIME, Wait
from saferollout.rollout.hold import without_hold
from saferollout.rollout.record import Phase, Record, now, without_record
from saferollout.rollout.rollout import Rollout


def end(
    workspace: Workspace, rollout: Rollout, keep_s: float, wait: Wait = BY_TIME.old, *, forgets: bool = True
) -> None:
    """Put the end of the rollout on record, and delete the old deployment if it is not to be kept.

    A hold on this revision ends with it. `wait` and `forgets` are as for `retire`.

    The record comes first, and is tried again and again: whoever is killed in between has not left a rollout that can
    neither be finished nor rolled back.

    Raises:
        Drifted: Somebody else changed something: what is on its way out may be what users are on.
        GateFailed: The candidate is broken.
        Lost: The rollout is somebody else's by now.
    """
    state = workspace.settled(rollout.endpoint, rollout.live, rollout.candidate)
    record = Record.from_tags(state.tags)
    if record is None and rollout.live not in state.deployments:
        return  # an earlier try got that far
    until = now() + timedelta(seconds=keep_s)
    if record is None or record.rollout != rollout.id or record.unfinished:
        drift.check(workspace, state, rollout)
        insist(_put_on_record)(workspace, rollout, until)
    retire(workspace, rollout.endpoint, wait=wait, forgets=forgets)


def _put_on_record(workspace: Workspace, rollout: Rollout, until: datetime) -> None:
    def ended(tags: dict[str, str]) -> dict[str, str]:
        there = Record.from_tags(tags)
        if there and there.rollout == rollout.id and there.phase is Phase.KEEPING:
            return tags  # an earlier try got that far without hearing of it
        changes = {"phase": Phase.KEEPING, "keep_until": until, "asks": None, "due": None}
        return without_hold(rollout.advanced(tags, **changes), rollout.revision)

    workspace.update_endpoint(rollout.endpoint, tags=ended)


def retire(
    workspace: Workspace, endpoint: str, *, at_once: bool = False, wait: Wait = BY_TIME.old, forgets: bool = True
) -> str:
    """Delete the old deployment if its keep window is over, and say what was done.

    `wait` is called before, until users are off it. The record says then that it goes: until it is gone nobody begins
    a rollout whose candidate would take its name. Where it is not to be forgotten, that stays on record until `forget`.

    Raises:
        Refused: It is to go `at_once` and must not, or somebody else changed the record meanwhile.
    """
    state = workspace.settled(endpoint)
    record = Record.from_tags(state.tags)
    if record is None:
        return f"{endpoint} keeps nothing"
    refusal = ""
    if record.unfinished or record.keep_until is None:
        refusal = f"rollout {record.rollout} of {endpoint} is unfinished; nothing is retired before its end"
    elif state.traffic.get(record.baseline.live):
        refusal = f"{record.baseline.live} of {endpoint} has traffic again and is not retired"
    if refusal and at_once:
        raise Refused(refusal)
    if refusal or record.keep_until is None:
        return refusal
    if record.phase is Phase.KEEPING and record.keep_until > now() and not at_once:
        return f"{endpoint} keeps {record.baseline.live} until {record.keep_until:%Y-%m-%d %H:%M:%S %Z}"
    if record.phase is Phase.KEEPING:
        wait(workspace, record)
    retiring = record.model_copy(update={"phase": Phase.RETIRING})

    def claim(tags: dict[str, str]) -> dict[str, str]:
        if (there := Record.from_tags(tags)) not in (record, retiring):
            msg = f"{endpoint} is no longer as it was: {f'rollout {there.rollout}' if there else 'nothing is kept'}"
            raise Refused(msg)
        return without_record(tags) | retiring.to_tags()

    workspace.update_endpoint(endpoint, tags=claim)
    workspace.delete_deployment(endpoint, record.baseline.live)
    if forgets:
        workspace.update_endpoint(endpoint, tags=record.removed_from)
    return f"{record.baseline.live} of {endpoint} deleted"
