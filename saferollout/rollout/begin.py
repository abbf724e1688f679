"""Begin a rollout: look at the endpoint, decide what will happen, and put the record there, which is the lock."""

import uuid

from saferollout.approvals.requester import Requester
from saferollout.azure.rules import MAX_DEPLOYMENTS
from saferollout.azure.workspace import Workspace
from saferollout.azure.yaml_export import Written
from saferollout.config.contents import digests_of
from saferollout.config.project import Project
from saferollout.domain.endpoint import Baseline, EndpointState, describe
from saferollout.domain.errors import AzureFailed, Lost, Refused, Taken
from saferollout.rollout import retire
from saferollout.rollout.drain import BY_TIME, ByTime
from saferollout.rollout.due import due_after
from saferollout.rollout.hold import check_hold
from saferollout.rollout.lock import claim, rival, take_over, who_has_it
from saferollout.rollout.owner import Owner
from saferollout.rollout.quota import check_quota
from saferollout.rollout.record import MAX_TAGS, Phase, Record, now, without_record
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import TAG_REVISION, TAG_ROLLOUT, Rollout

RECORD_TAGS = 33  # what a record and a hold take of Azure's 50 tags, at most, without the decisions on stages


def begin(
    workspace: Workspace,
    project: Project,
    owner: Owner,
    *,
    gone: Owner | None,
    begun_before: bool,
    deployment: str = "",
    again: str = "",
    drain: ByTime = BY_TIME,
    requester: Requester = Requester(),  # noqa: B008  # immutable
) -> Rollout | None:
    """Write the record of a new rollout, or take over what this very rollout left unfinished.

    Returns None when the live deployment is this very revision already, or the same by all that Azure shows of it: then
    there is nothing to do.

    `gone` is an owner who is surely no longer at work: what is unfinished of this revision is taken over, and what
    is of another one is rolled back first. `begun_before` says that this run wrote a record before it was suspended,
    so that an answer cannot start anything new; `deployment` is the run's in Prefect. `again` is who rolls the revision
    out although it is held; `drain` waits until users are off what a rollback, or an earlier rollout's end, takes away.
    The `requester` is recorded with a new one.

    Raises:
        Lost: This run's rollout was rolled back or replaced while it waited, or another one has begun meanwhile.
        Taken: Somebody else's rollout is unfinished.
        Refused: The endpoint is not in a state for a rollout, or the revision is held.
        AzureFailed: The endpoint's key cannot be had, which a later step needs.
    """
    state = workspace.settled(project.endpoint)
    record = Record.from_tags(state.tags)
    if begun_before and not (record and record.phase is Phase.ROLLING and record.owner.flow_run == owner.flow_run):
        msg = f"this rollout of {project.endpoint} was rolled back or replaced while it waited; start a new one"
        raise Lost(msg)
    left = record if record and record.unfinished else None
    is_own = left is not None and left.owner.flow_run == owner.flow_run
    if left and not is_own and left.owner != gone:
        raise Taken(who_has_it(project.endpoint, left), **rival(left))
    if left and (is_own or left.revision == project.revision):
        is_new = not is_own and left.phase is Phase.ROLLING
        hold = check_hold(state.tags, project.endpoint, project.revision, again or ("" if is_new else owner.name))
        return _resume(workspace, project, left, owner, drain).model_copy(update={"hold": hold})
    hold = "" if _is_live(state, project) else check_hold(state.tags, project.endpoint, project.revision, again)
    if left:
        roll_back(workspace, project.endpoint, rollout=left.rollout, wait=drain)
        state = workspace.settled(project.endpoint)
    elif record and record.phase is Phase.RETIRING:
        retire.retire(workspace, project.endpoint)
        state = workspace.settled(project.endpoint)
    record = draft(workspace, project, owner, state, deployment=deployment, requester=requester)
    if record is None:
        return None
    there = state.deployments.get(record.candidate)
    if there and TAG_ROLLOUT not in there.tags:  # kept; once its record is gone, it would be like anybody's
        retire.retire(workspace, project.endpoint, at_once=True, wait=drain.old)
    claim(workspace, project.endpoint, record)
    return Rollout.of(project, record).model_copy(update={"hold": hold})


def draft(
    workspace: Workspace,
    project: Project,
    owner: Owner,
    state: EndpointState,
    *,
    deployment: str = "",
    requester: Requester = Requester(),  # noqa: B008  # immutable
) -> Record | None:
    """The record of a new rollout on an endpoint where none is under way; nothing is changed.

    None where there is nothing to do, as for `begin`, which says what the arguments mean.

    Raises:
        Refused: The endpoint is not in a state for a rollout.
        AzureFailed: The endpoint's key cannot be had, which a later step needs.
    """
    baseline = baseline_of(state)
    live = state.deployments[baseline.live]
    if live.tags.get(TAG_REVISION) == project.revision:
        return None
    if project.settings is not None and is_same(project, workspace.written(state.name)[1].get(baseline.live)):
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
        due=due_after(project.config, 0),
        deployment=deployment,
        max_resumes=project.config.guard.max_resumes,
        live_model=live.model,
        live_environment=live.environment,
        live_revision=live.tags.get(TAG_REVISION, ""),
        on_drift=project.config.on_drift,
        requester=requester,
    )
    _check_azure(workspace, project, state, candidate)
    check_quota(workspace, Rollout.of(project, record), state)
    others = without_record(state.tags)
    if len(others) + RECORD_TAGS + len(project.config.stages) > MAX_TAGS:
        msg = (
            f"endpoint {state.name} has {len(others)} tags; the rollout needs {RECORD_TAGS} of Azure's {MAX_TAGS}; "
            "remove some"
        )
        raise Refused(msg)
    return record


def _is_live(state: EndpointState, project: Project) -> bool:
    """Whether this very revision has users."""
    serving = (state.deployments[name] for name in state.traffic if name in state.deployments)
    return any(deployment.tags.get(TAG_REVISION) == project.revision for deployment in serving)


def is_same(project: Project, live: Written | None) -> bool:
    """Whether the live deployment is what the project would make, whoever made it and with whichever tags.

    Only where Azure holds all parts of it: then the YAML names what it is made of, to the last one. A rollout would
    give the candidate at least live's instances, so that fewer in the YAML are not a difference.
    """
    if project.settings is None or live is None or live.left_out:
        return False
    there = int(live.yaml.get("instance_count", 1))
    counts = [digests_of({"instance_count": count}) for count in range(1, there + 1)]
    found = digests_of(live.yaml) | counts[-1]
    wanted = counts[0] | project.settings | digests_of(project.assets)
    if any(count.items() <= wanted.items() for count in counts):
        wanted |= counts[-1]
    return wanted == found


def _check_azure(workspace: Workspace, project: Project, state: EndpointState, candidate: str) -> None:
    """Check what would stop the rollout at a later step, as far as Azure shows it now.

    Raises:
        Refused: The endpoint has no room for a candidate, or none for its shadow.
        AzureFailed: The endpoint's key cannot be had.
    """
    if project.config.shadow and (others := state.mirror_without(candidate)):
        msg = (
            f"{state.name} mirrors {describe(others)}, and can mirror to one deployment only; stop that, or leave "
            "`shadow` out of the config"
        )
        raise Refused(msg)
    if candidate not in state.deployments and len(state.deployments) >= MAX_DEPLOYMENTS:
        msg = f"{state.name} has {len(state.deployments)} deployments, and Azure allows no more; delete one"
        raise Refused(msg)
    try:
        workspace.secret(state.name)
    except AzureFailed as error:
        if error.status != 403:
            raise
        msg = (
            f"{error}; the candidate is tested with the endpoint's key: whoever runs the rollout needs the permission "
            "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/listKeys/action (role AzureML Data Scientist)"
        )
        raise AzureFailed(msg, status=error.status) from error


def _resume(workspace: Workspace, project: Project, record: Record, owner: Owner, drain: ByTime) -> Rollout:
    """Take a rollout over.

    Raises:
        Taken: Somebody else takes it over at the same time.
        Refused: It was being rolled back, or is of other files by now; it has been rolled back.
    """
    if record.phase is Phase.ROLLING_BACK or record.revision != project.revision:
        roll_back(workspace, project.endpoint, wait=drain)
        why = "was being rolled back" if record.phase is Phase.ROLLING_BACK else "was of other files than there are now"
        msg = f"rollout {record.rollout} of {project.endpoint} {why}; it is rolled back, and a new one may begin"
        raise Refused(msg)
    if record.owner != owner:
        record = take_over(workspace, project.endpoint, record, owner)
    return Rollout.of(project, record)


def baseline_of(state: EndpointState) -> Baseline:
    """The endpoint as it is, for a rollout to start from.

    Raises:
        Refused: No single, healthy deployment has all traffic.
    """
    if len(state.traffic) != 1 or sum(state.traffic.values()) != 100:
        msg = (
            f"the traffic of {state.name} is {describe(state.traffic)}; "
            "a rollout starts where one deployment has all of it; give it 100%, or bootstrap the endpoint"
        )
        raise Refused(msg)
    (live,) = state.traffic
    if (deployment := state.deployments.get(live)) is None:
        msg = f"deployment {live} has all traffic of {state.name} and is gone; give the traffic to one that is there"
        raise Refused(msg)
    if deployment.provisioning_state != "Succeeded":
        msg = (
            f"live deployment {live} is {deployment.provisioning_state}; a rollout needs a healthy one to go back to; "
            "mend it first"
        )
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
