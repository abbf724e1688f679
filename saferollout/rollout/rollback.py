"""The way back: from the endpoint's tags alone to the endpoint as it was before the rollout."""

import logging
from collections.abc import Callable

from saferollout.azure.retries import INSISTING_A_LITTLE, insisting
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import LeftCandidate
from saferollout.domain.endpoint import Baseline, EndpointState
from saferollout.domain.errors import AzureFailed, Drifted, Refused, SaferolloutError
from saferollout.rollout.record import Owner, Phase, Record, without_record
from saferollout.rollout.rollout import Plan

log = logging.getLogger(__name__)


def restore(workspace: Workspace, endpoint: str, *, rollout: str | None = None, force: bool = False) -> Record:
    """Undo the rollout that the endpoint's tags tell of: traffic first, then instances, then the candidate.

    A live deployment with fewer instances than before the rollout gets those before the traffic, which would overload
    it; if Azure has none to give, it gets the traffic all the same. Instances that neither the rollout nor the baseline
    accounts for, as an autoscaler's, stay.

    Every step is skipped where Azure already shows it, so it can be repeated; while Azure fails it is, for three
    quarters of an hour. ``rollout`` undoes only the one with this id. Raises Refused without a rollout to undo, and
    Drifted when somebody else changed the traffic, unless ``force`` says that the baseline is wanted all the same.
    """
    undoing: Record | None = None

    def to_undo(tags: dict[str, str]) -> Record:
        found = Record.from_tags(tags)
        if found is None or (rollout and found.rollout != rollout):
            msg = f"endpoint {endpoint} has no rollout to undo"
            raise Refused(msg)
        if found.phase is Phase.RETIRING:
            msg = f"deployment {found.baseline.live} is being deleted: rollout {found.rollout} cannot be undone"
            raise Refused(msg)
        return found

    @insisting
    def attempt() -> Record:
        nonlocal undoing
        state = workspace.existing(endpoint)
        there = Record.from_tags(state.tags)
        if undoing and (there is None or there.rollout != undoing.rollout):
            return undoing  # an earlier attempt got to the end without hearing of it
        record = to_undo(state.tags)
        live = record.baseline.live
        if live not in state.deployments or state.deployments[live].provisioning_state == "Deleting":
            msg = f"deployment {live} is gone: rollout {record.rollout} cannot be undone"
            raise Refused(msg)
        try:
            if state.traffic == record.traffic() and _is_short(state, record):
                _set_share(workspace, state, record, to_undo, record.stage)  # nothing goes forward meanwhile
                _give_instances(workspace, endpoint, record.baseline)
                state = workspace.existing(endpoint)
                record = to_undo(state.tags)
            _set_share(workspace, state, record, to_undo, 0, force=force)
        except Drifted:
            if not _is_overtaken(workspace, endpoint, record):
                raise
            undoing = record
            msg = f"another rollback of {endpoint} is under way"
            raise AzureFailed(msg, retryable=True) from None
        undoing = record
        workspace.scale_up(endpoint, live, record.baseline.instance_count)
        if record.raised_to:
            workspace.scale_back(endpoint, live, record.baseline.instance_count, instead_of=record.raised_to)
        if record.left_candidate is LeftCandidate.DELETE:
            workspace.delete_deployment(endpoint, record.candidate)
        workspace.update_endpoint(endpoint, tags=record.removed_from)
        return record

    return attempt()


def put_traffic_back(workspace: Workspace, plan: Plan) -> bool:
    """The first part of ``restore`` alone, for the rollout at work: the users are back, all else is left to do.

    To scale takes Azure minutes, and harm must end now: a live deployment that was scaled in gets at once what its
    instances can carry, and ``restore`` gives it the rest. Returns whether it has all traffic. Raises Lost if the
    rollout is not this run's any longer.
    """
    state = workspace.existing(plan.endpoint)
    record = plan.own_record(state.tags)
    live = state.deployments.get(plan.live)
    share = carried_share(live.instance_count if live else 0, record.baseline.instance_count, 100 - record.stage)
    _set_share(workspace, state, record, plan.own_record, 100 - share)
    return share == 100


def carried_share(instances: int, baseline: int, share: int) -> int:
    """How much of the traffic a deployment can carry, in percent, with ``instances`` where it had ``baseline`` for all.

    It carries ``share`` now: where that is most of the traffic, fewer instances do for today's users.
    """
    needed = min(baseline, instances * 100 // share) if share else baseline
    return min(100, 100 * instances // needed) if needed else share


def _is_short(state: EndpointState, record: Record) -> bool:
    return state.deployments[record.baseline.live].instance_count < record.baseline.instance_count


def _give_instances(workspace: Workspace, endpoint: str, baseline: Baseline) -> None:
    """Give the live deployment its instances, if Azure has them: users on a small deployment are better than none."""
    scale_up = insisting(workspace.scale_up).retry_with(**INSISTING_A_LITTLE)
    try:
        scale_up(endpoint, baseline.live, baseline.instance_count)
    except SaferolloutError as error:
        log.warning("%s gets all traffic without its %s instances: %s", baseline.live, baseline.instance_count, error)


def _set_share(
    workspace: Workspace, state: EndpointState, record: Record, own: Callable[[dict[str, str]], Record], share: int, *,
    force: bool = False,
) -> None:  # fmt: skip
    """Leave the candidate this share, and mark the rollout as being undone."""
    left = {"phase": Phase.UNDOING, "stage": share}
    workspace.update_endpoint(
        state.name,
        traffic=record.model_copy(update=left).traffic(),
        expected_traffic=None if force else record.traffic(),
        mirror=state.mirror_without(record.candidate),
        tags=lambda tags: without_record(tags) | own(tags).model_copy(update=left).to_tags(),
    )


def _is_overtaken(workspace: Workspace, endpoint: str, record: Record) -> bool:
    """Whether what seemed somebody else's change is another rollback of the same rollout."""
    state = workspace.existing(endpoint)
    there = Record.from_tags(state.tags)
    same = there is None or (there.rollout == record.rollout and there.phase is Phase.UNDOING)
    return same and state.traffic == record.baseline.traffic


def restore_own(workspace: Workspace, endpoint: str, is_own: Callable[[Owner], bool]) -> Record | None:
    """``restore`` the endpoint's unfinished rollout if its owner is this one; None, and nothing done, otherwise."""
    record = Record.from_tags(insisting(workspace.existing)(endpoint).tags)
    if record is None or not record.unfinished or not is_own(record.owner):
        return None
    return restore(workspace, endpoint, rollout=record.rollout)
