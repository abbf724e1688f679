"""The way back: from the endpoint's tags alone to the endpoint as it was before the rollout."""

import logging
from collections.abc import Callable

from saferollout.azure.retries import INSISTING_A_LITTLE, insist
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import LeftCandidate, OnDrift
from saferollout.domain.endpoint import Baseline, EndpointState
from saferollout.domain.errors import AzureFailed, Drifted, Refused, SaferolloutError
from saferollout.rollout import drift
from saferollout.rollout.drain import BY_TIME, Wait
from saferollout.rollout.hold import Hold
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import MAX_TAGS, PREFIX, TAG_HELD, Phase, Record, without_record
from saferollout.rollout.rollout import TAG_ROLLOUT, Rollout

WAY_ON = "roll an earlier model out, or give the traffic by hand to a deployment that is there"
log = logging.getLogger(__name__)


def roll_back(
    workspace: Workspace,
    endpoint: str,
    *,
    rollout: str | None = None,
    force: bool = False,
    wait: Wait = BY_TIME,
    hold: Hold | None = None,
    forgets: bool = True,
) -> Record:
    """Roll back the rollout that the endpoint's tags record: traffic first, then instances, then the candidate.

    A live deployment with fewer instances than before the rollout gets those before the traffic, which would overload
    it; if Azure has none to give, it gets the traffic all the same. Instances that neither the rollout nor the baseline
    accounts for, as an autoscaler's, stay.

    Every step is skipped where Azure already shows it, so it can be repeated; while Azure fails it is, for three
    quarters of an hour. `rollout` rolls back only the one with this id; `force` also where somebody else changed the
    traffic; `wait` is called when the traffic is back, before instances are taken away: gateways follow a while later.
    `hold` is put on the endpoint with the rollback's first change, whatever becomes of the rest; where that was
    somebody else's, what this one has found is not why it goes back. Where it is not to be forgotten, the record stays
    until `forget`: whoever is killed before the report leaves somebody else to write it.

    Raises:
        Refused: There is no rollout to roll back.
        Drifted: Somebody else changed the traffic, and it is not `force`.
    """
    rolling_back: Record | None = None

    def to_roll_back(tags: dict[str, str]) -> Record:
        found = Record.from_tags(tags)
        if found is None or (rollout and found.rollout != rollout):
            msg = f"endpoint {endpoint} has no rollout to roll back: nothing to do"
            raise Refused(msg)
        if found.phase is Phase.RETIRING:
            live = found.baseline.live
            msg = f"deployment {live} is being deleted: rollout {found.rollout} cannot be rolled back; {WAY_ON}"
            raise Refused(msg)
        return found

    @insist
    def attempt() -> Record:
        nonlocal rolling_back
        state = workspace.settled(endpoint)
        there = Record.from_tags(state.tags)
        if rolling_back and (there is None or there.rollout != rolling_back.rollout):
            return rolling_back  # an earlier attempt got to the end without hearing of it
        record = to_roll_back(state.tags)
        live = record.baseline.live
        if live not in state.deployments or state.deployments[live].provisioning_state == "Deleting":
            msg = (
                f"deployment {live} is gone: rollout {record.rollout} cannot be rolled back; {WAY_ON}, and remove the "
                f"endpoint's {PREFIX}* tags"
            )
            raise Refused(msg)
        held = None if record.phase is Phase.ROLLING_BACK else hold
        try:
            if _is_short(state, record) and (force or state.traffic == record.traffic()):
                # nothing goes forward meanwhile
                _set_share(workspace, state, record, to_roll_back, record.share, held, force=force)
                _give_instances(workspace, endpoint, record.baseline)
                state = workspace.settled(endpoint)
                record = to_roll_back(state.tags)
            _set_share(workspace, state, record, to_roll_back, 0, held, force=force)
        except Drifted:
            if not _is_overtaken(workspace, endpoint, record):
                raise
            rolling_back = record
            msg = f"another rollback of {endpoint} is under way, or Azure shows an old state; try again in a moment"
            raise AzureFailed(msg, retryable=True) from None
        rolling_back = record
        wait(workspace, record)
        _take_away(workspace, endpoint, record)
        if forgets:
            workspace.update_endpoint(endpoint, tags=record.removed_from)
        return record

    return attempt()


def put_traffic_back(workspace: Workspace, rollout: Rollout, hold: Hold | None = None) -> bool:
    """The first part of `roll_back` alone, for the rollout at work: the users are back, all else is left to do.

    To scale takes Azure minutes, and harm must end now: a live deployment that was scaled in gets at once what its
    instances can carry, and `roll_back` gives it the rest. `hold` is put on the endpoint in the same change. Returns
    whether live has all traffic.

    Raises:
        Lost: The rollout is no longer this run's.
    """
    state = workspace.settled(rollout.endpoint)
    record = rollout.own_record(state.tags)
    live = state.deployments.get(rollout.live)
    share = carried_share(live.instance_count if live else 0, record.baseline.instance_count, 100 - record.share)
    _set_share(workspace, state, record, rollout.own_record, 100 - share, hold)
    return share == 100


def carried_share(instances: int, baseline: int, share: int) -> int:
    """How much of the traffic a deployment can carry, in percent, with `instances` where it had `baseline` for all.

    It carries `share` now: where that is most of the traffic, fewer instances do for today's users.
    """
    needed = min(baseline, instances * 100 // share) if share else baseline
    return min(100, 100 * instances // needed) if needed else share


def _take_away(workspace: Workspace, endpoint: str, record: Record) -> None:
    """Give live the instances that it had, no more and no fewer, and delete the candidate where that is wanted."""
    live, count = record.baseline.live, record.baseline.instance_count
    workspace.scale_up(endpoint, live, count)
    if record.raised_to:
        workspace.scale_back(endpoint, live, count, instead_of=record.raised_to)
    if record.left_candidate is LeftCandidate.DELETE and _is_from_rollout(workspace, endpoint, record.candidate):
        workspace.delete_deployment(endpoint, record.candidate)


def _is_from_rollout(workspace: Workspace, endpoint: str, name: str) -> bool:
    """Whether a rollout made the deployment that is there now: any other is somebody's, and not to be deleted."""
    found = workspace.get_endpoint(endpoint).deployments.get(name)
    return found is not None and TAG_ROLLOUT in found.tags


def _is_short(state: EndpointState, record: Record) -> bool:
    return state.deployments[record.baseline.live].instance_count < record.baseline.instance_count


def _give_instances(workspace: Workspace, endpoint: str, baseline: Baseline) -> None:
    """Give the live deployment its instances, if Azure has them: users on a small deployment are better than none."""
    scale_up = insist(workspace.scale_up).retry_with(**INSISTING_A_LITTLE)
    try:
        scale_up(endpoint, baseline.live, baseline.instance_count)
    except SaferolloutError as error:
        log.warning("%s gets all traffic without its %s instances: %s", baseline.live, baseline.instance_count, error)


def _set_share(
    workspace: Workspace,
    state: EndpointState,
    record: Record,
    own: Callable[[dict[str, str]], Record],
    share: int,
    hold: Hold | None,
    *,
    force: bool = False,
) -> None:
    """Leave the candidate this share, and mark the rollout as being rolled back, and its revision as held.

    With `force` the traffic may be somebody else's; that stays until live gets all of it.
    """
    left = {"phase": Phase.ROLLING_BACK, "share": share, "asks": None, "due": None}
    wanted = record.model_copy(update=left).traffic()
    if hold and (candidate := state.deployments.get(record.candidate)):
        hold = hold.model_copy(update={"deployment": candidate.digest})

    def marked(tags: dict[str, str]) -> dict[str, str]:
        new = without_record(tags) | own(tags).model_copy(update=left).to_tags() | (hold.to_tags() if hold else {})
        if len(new) > MAX_TAGS:  # somebody else's tags take its place: the way back comes first
            log.warning("the revision is not held, for %s has as many tags as Azure allows", state.name)
            new = {name: value for name, value in new.items() if name != TAG_HELD}
        return new

    workspace.update_endpoint(
        state.name,
        traffic=None if force and share else wanted,
        check=(lambda _: None) if force else drift.expecting(record.traffic(), wanted),
        mirror=state.mirror_without(record.candidate, record.baseline.live),  # who has traffic cannot get copies, too
        tags=marked,
    )


def _is_overtaken(workspace: Workspace, endpoint: str, record: Record) -> bool:
    """Whether what seemed somebody else's change is the same rollout's, or another rollback of it."""
    state = workspace.settled(endpoint)
    there = Record.from_tags(state.tags)
    if there is None:
        return state.traffic == record.baseline.traffic
    return there.rollout == record.rollout and there != record and state.traffic == there.traffic()


def find_own(workspace: Workspace, flow_run: str) -> list[str]:
    """The endpoints with an unfinished rollout of the flow run."""
    records = {name: Record.from_tags(workspace.get_endpoint(name).tags) for name in workspace.endpoints()}
    return [
        name for name, record in records.items() if record and record.unfinished and record.owner.flow_run == flow_run
    ]


def roll_back_own(
    workspace: Workspace,
    endpoint: str,
    is_own: Callable[[Owner], bool],
    wait: Wait = BY_TIME,
    hold: Hold | None = None,
    *,
    force: bool = False,
    forgets: bool = True,
) -> Record | None:
    """`roll_back` the endpoint's unfinished rollout if its owner is this one; None, and nothing done, otherwise."""
    record = Record.from_tags(insist(workspace.settled)(endpoint).tags)
    if record is None or not record.unfinished or not is_own(record.owner):
        return None
    force = force or record.on_drift is OnDrift.ROLLBACK
    return roll_back(workspace, endpoint, rollout=record.rollout, wait=wait, hold=hold, force=force, forgets=forgets)
