"""Begin a rollout: look at the endpoint, decide what will happen, and put the record there, which is the lock."""

import uuid

from saferollout.azure.workspace import Workspace
from saferollout.config.project import Project
from saferollout.domain.endpoint import Baseline, EndpointState, describe
from saferollout.domain.errors import Lost, Refused
from saferollout.rollout import retire
from saferollout.rollout.record import MAX_TAGS, Owner, Phase, Record, now, without_record
from saferollout.rollout.rollback import restore
from saferollout.rollout.rollout import TAG_REVISION, TAG_ROLLOUT, Plan

RECORD_TAGS = 16  # what a record takes of Azure's 50 tags, at most, with the approvals of a few stages


def begin(
    workspace: Workspace, project: Project, owner: Owner, *, gone: Owner | None, begun_before: bool
) -> Plan | None:
    """Write the record of a new rollout, or take over what this very rollout left unfinished.

    None when the live deployment is this very revision already: then there is nothing to do.

    ``gone`` is an owner who is surely not at work any more; ``begun_before`` says that this run wrote a record before
    it was suspended, so that an answer cannot start anything new. Raises Refused when the endpoint is not in a state
    to be rolled out, or when somebody else's rollout is unfinished.
    """
    state = workspace.existing(project.endpoint)
    record = Record.from_tags(state.tags)
    if begun_before and not (record and record.phase is Phase.ROLLING and record.owner.flow_run == owner.flow_run):
        msg = f"this rollout of {project.endpoint} was undone or replaced while it waited"
        raise Lost(msg)
    if record and record.unfinished:
        _check_ours(record, project, owner, gone)
        return _resume(workspace, project, record, owner)
    if record and record.phase is Phase.RETIRING:
        retire.retire_due(workspace, project.endpoint)
        state = workspace.existing(project.endpoint)
    baseline = _baseline(state)
    if state.deployments[baseline.live].tags.get(TAG_REVISION) == project.revision:
        return None
    candidate = _free_slot(state, baseline, project)
    wanted = project.config.live.instance_count or 0
    record = Record(
        rollout=uuid.uuid4().hex[:8],
        owner=owner,
        since=now(),
        candidate=candidate,
        revision=project.revision,
        model=project.model,
        environment=project.assets.get("environment", ""),
        baseline=baseline,
        left_candidate=project.config.rollback.candidate,
        raised_to=wanted if wanted > baseline.instance_count else 0,
    )
    others = without_record(state.tags)
    if len(others) + RECORD_TAGS + len(project.config.stages) > MAX_TAGS:
        msg = f"endpoint {state.name} has {len(others)} tags; the rollout needs {RECORD_TAGS} of Azure's {MAX_TAGS}"
        raise Refused(msg)
    there = state.deployments.get(candidate)
    if there and TAG_ROLLOUT not in there.tags:  # kept; once its record is gone, it would be like anybody's
        retire.retire_due(workspace, project.endpoint, at_once=True)
    _claim(workspace, project.endpoint, record, instead_of=None)
    return Plan.of(project, record)


def _check_ours(record: Record, project: Project, owner: Owner, gone: Owner | None) -> None:
    if record.owner.flow_run == owner.flow_run or (record.owner == gone and record.revision == project.revision):
        return
    msg = (
        f"rollout {record.rollout} of {project.endpoint} is unfinished: begun by {record.owner.name} "
        f"at {record.since:%Y-%m-%d %H:%M:%S %Z}, candidate {record.candidate} at {record.stage}% "
        f"(flow run {record.owner.flow_run}); let it end, or undo it with `saferollout rollback {project.endpoint}`"
    )
    raise Refused(msg)


def _resume(workspace: Workspace, project: Project, record: Record, owner: Owner) -> Plan:
    """Take a rollout over; one that was being undone, or is of other files by now, is undone and Refused."""
    if record.phase is Phase.UNDOING or record.revision != project.revision:
        restore(workspace, project.endpoint)
        why = "was being undone" if record.phase is Phase.UNDOING else "was of other files than there are now"
        msg = f"rollout {record.rollout} of {project.endpoint} {why}; it is rolled back, and a new one may begin"
        raise Refused(msg)
    if record.owner != owner:
        record, before = record.model_copy(update={"owner": owner}), record
        _claim(workspace, project.endpoint, record, instead_of=before)
    return Plan.of(project, record)


def _claim(workspace: Workspace, endpoint: str, record: Record, *, instead_of: Record | None) -> None:
    """Write the record; Refused if another one came first."""

    def write(tags: dict[str, str]) -> dict[str, str]:
        there = Record.from_tags(tags)
        if there and there.unfinished and there.owner not in (record.owner, instead_of and instead_of.owner):
            msg = f"rollout {there.rollout} of {endpoint} was begun by {there.owner.name} at this very moment"
            raise Refused(msg)
        return without_record(tags) | record.to_tags()

    workspace.update_endpoint(endpoint, tags=write)


def _baseline(state: EndpointState) -> Baseline:
    if len(state.traffic) != 1 or sum(state.traffic.values()) != 100:
        msg = (
            f"the traffic of {state.name} is {describe(state.traffic)}; "
            "a rollout starts where one deployment has all of it"
        )
        raise Refused(msg)
    (live,) = state.traffic
    deployment = state.deployments[live]
    if deployment.provisioning_state != "Succeeded":
        msg = f"live deployment {live} is {deployment.provisioning_state}; a rollout needs a healthy one to go back to"
        raise Refused(msg)
    return Baseline(live=live, instance_count=deployment.instance_count)


def _free_slot(state: EndpointState, baseline: Baseline, project: Project) -> str:
    slot = next(name for name in project.config.slots if name != baseline.live)
    there = state.deployments.get(slot)
    if state.mirror_traffic.get(slot):
        msg = f"deployment {slot} gets mirrored traffic; stop mirroring first"
        raise Refused(msg)
    kept = Record.from_tags(state.tags)  # an earlier rollout's old deployment may go for the next candidate
    if there and TAG_ROLLOUT not in there.tags and not (kept and kept.baseline.live == slot):
        msg = f"deployment {slot} exists and no rollout made it; delete it, or name other slots in the config"
        raise Refused(msg)
    return slot
