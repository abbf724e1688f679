"""Drift: what somebody else changed of what a rollout has set. The one place that decides it, and says it in words."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NoReturn

from saferollout.azure.reading import is_final
from saferollout.azure.workspace import Workspace
from saferollout.config.assets import label_of, short
from saferollout.config.rollout import OnDrift
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import DeploymentState, EndpointState, describe
from saferollout.domain.errors import AzureFailed, Changed, Drifted, GateFailed
from saferollout.domain.words import plural
from saferollout.rollout.difference import BY, Difference, compare_part, report_change, report_deletion
from saferollout.rollout.record import Phase, Record
from saferollout.rollout.rollout import TAG_REVISION, TAG_ROLLOUT, Rollout

log = logging.getLogger(__name__)


def differences(
    state: EndpointState,
    record: Record,
    rollout: Rollout | None = None,
    *,
    is_created: bool = True,
    at_most: int | None = None,
    autoscaled: Collection[str] = (),
) -> list[Difference]:
    """Compare the endpoint as Azure shows it with what the rollout last set, by its `record`.

    Without the `rollout`, as where only the tags are known, what follows from its config is not compared.

    Args:
        state: The endpoint, with its deployments.
        record: The rollout's record, as the endpoint's tags have it.
        rollout: The rollout.
        is_created: Whether the candidate has been created and live scaled: before that neither is expected.
        at_most: The largest share that this rollout can have reached; a record of more is somebody else's.
        autoscaled: The deployments, in small letters, whose instances an autoscale setting counts.
    """
    return [
        *_of_shares(state, record, at_most),
        *_of_traffic(state, record, rollout),
        *_of_live(state, record),
        *_of_candidate(state, record, rollout, is_created=is_created),
        *_of_counts(state, record, rollout, autoscaled, is_created=is_created),
    ]


def change_of(state: EndpointState, record: Record) -> Difference | None:
    """What somebody else has made of the candidate, by the tags alone; None where it is as it was tested."""
    return next((each for each in differences(state, record) if each.is_change), None)


def look(
    azure: Workspace,
    state: EndpointState,
    record: Record,
    rollout: Rollout | None = None,
    *,
    is_created: bool = True,
    at_most: int | None = None,
) -> list[Difference]:
    """`differences`, without what an enabled autoscale setting has done: those are read only where that may be so.

    Where they cannot be read, instances are not compared, and a line in the log says so.

    Raises:
        AzureFailed: Azure or the network failed.
    """
    found = differences(state, record, rollout, is_created=is_created, at_most=at_most)
    if not any(each.is_count for each in found):
        return found
    try:
        autoscaled = azure.autoscaled(state.name)
    except AzureFailed as error:
        if error.status not in (401, 403, 404):
            raise
        log.warning(
            "instances are not compared: %s; whoever runs the rollout needs the permission "
            "Microsoft.Insights/autoscaleSettings/read to know what an autoscaler has done",
            error,
        )
        return [each for each in found if not each.is_count]
    return differences(state, record, rollout, is_created=is_created, at_most=at_most, autoscaled=autoscaled)


def check(
    azure: Workspace,
    state: EndpointState,
    rollout: Rollout,
    *,
    is_created: bool = True,
    at_most: int | None = None,
    is_past: bool = False,
) -> Record:
    """Return the rollout's record if the endpoint is as the rollout left it; for the arguments see `differences`.

    Where a question is open, a step that `is_past`, as it was done before that, leaves a change of the candidate to it.

    Raises:
        GateFailed: The candidate is broken; as Drifted, somebody else changed something.
        Lost: The rollout is somebody else's by now.
    """
    record = rollout.own_record(state.tags)
    found = look(azure, state, record, rollout, is_created=is_created, at_most=at_most)
    if is_past and record.asks:
        found = [each for each in found if not each.is_change]
    if found:
        refuse(found)
    candidate = state.deployments.get(rollout.candidate)
    if is_created and candidate and candidate.broken:
        msg = f"deployment {rollout.candidate} is {candidate.provisioning_state}"
        raise GateFailed(msg)
    return record


def left_as_is(azure: Workspace, state: EndpointState, record: Record) -> str:
    """What somebody else has changed, where nobody is to touch the endpoint but a person for that; empty otherwise.

    A change of the candidate is not a reason to leave it to users.
    For whoever finds a rollout without its process, and knows only the tags.
    """
    if record.phase is not Phase.ROLLING or record.on_drift is OnDrift.ROLLBACK:
        return ""
    return "; ".join(each.words for each in look(azure, state, record) if not each.is_change)


def require_unchanged(azure: Workspace, rollout: Rollout, *, is_settled: bool = True) -> EndpointState:
    """Return the endpoint if it is as the rollout left it, once nothing is under way there, unless not `is_settled`.

    The candidate and the live deployment are there then.

    Raises:
        Drifted: Somebody else changed something meanwhile.
        GateFailed: The candidate is broken.
        Lost: The rollout is somebody else's by now.
    """
    names = (rollout.live, rollout.candidate)
    state = azure.settled(rollout.endpoint, *names) if is_settled else azure.get_endpoint(rollout.endpoint)
    check(azure, state, rollout)
    return state


def describe_change(rollout: Rollout, candidate: DeploymentState) -> str:
    """In words that somebody else has changed the candidate, and what of it as far as that is known."""
    old = rollout.made_of
    return report_change(candidate.name, old or Composition(digest="unknown"), Composition.of(candidate)).words


def refuse(found: Collection[Difference]) -> NoReturn:
    """Say all differences at once.

    Raises:
        Drifted: Always; Changed, where it is only what the candidate is made of.
    """
    kind = Changed if all(each.is_change for each in found) else Drifted
    raise kind(
        "; ".join(each.words for each in found),
        is_repairable=all(each.is_repairable for each in found),
        is_hopeless=any(each.is_hopeless for each in found),
        is_listed=all(each.is_listed for each in found),
    )


def expecting(*traffic: dict[str, int]) -> Callable[[EndpointState], None]:
    """A check, for just before a change, that the traffic is one of these; the first is what the rollout left."""

    def check_traffic(state: EndpointState) -> None:
        if state.traffic not in traffic:
            refuse([_traffic(state, traffic[0])])

    return check_traffic


def counted(state: EndpointState, record: Record) -> dict[str, int]:
    """The instances of live and candidate, for the record."""
    names = (record.baseline.live, record.candidate)
    return {name: state.deployments[name].instance_count for name in names if name in state.deployments}


def _of_shares(state: EndpointState, record: Record, at_most: int | None) -> Iterator[Difference]:
    if at_most is not None and record.share > at_most:
        yield Difference(
            what=f"the share in the tags of {state.name}",
            expected=f"at most {at_most}%",
            found=f"{record.share}%",
            words=f"the tags of {state.name} say that the rollout has reached {record.share}%: {BY} changed them",
        )


def _of_traffic(state: EndpointState, record: Record, rollout: Rollout | None) -> Iterator[Difference]:
    left = record.traffic()
    if state.traffic != left:
        yield _traffic(state, left)
    own = {record.baseline.live, record.candidate}
    mirrored = {name: share for name, share in state.mirror_traffic.items() if name in own}
    if mirrored and not _is_shadow(mirrored, record, rollout):
        yield Difference(
            what=f"the mirrored traffic of {state.name}",
            expected="none",
            found=describe(mirrored),
            words=f"{state.name} mirrors {describe(mirrored)}, which the rollout does not: {BY} changed it",
            is_repairable=True,
        )


def _traffic(state: EndpointState, left: dict[str, int]) -> Difference:
    found = describe(state.traffic)
    return Difference(
        what=f"the traffic of {state.name}",
        expected=describe(left),
        found=found,
        words=f"the traffic of {state.name} is {found}, but the rollout left it at {describe(left)}: {BY} changed it",
        is_repairable=True,
    )


def _is_shadow(mirrored: dict[str, int], record: Record, rollout: Rollout | None) -> bool:
    """Whether what is mirrored may be this rollout's own stage of mirrored traffic, before the first share."""
    if record.share or set(mirrored) != {record.candidate}:
        return False
    shadow = rollout.project.config.shadow if rollout else None
    return rollout is None or (shadow is not None and mirrored == {record.candidate: shadow.mirror})


def _of_live(state: EndpointState, record: Record) -> Iterator[Difference]:
    name = record.baseline.live
    if (found := state.deployments.get(name)) is None:
        yield report_deletion(name, is_hopeless=True)
        return
    yield from compare_part(found, "model", record.live_model, found.model)
    yield from compare_part(found, "environment", record.live_environment, found.environment)
    yield from compare_part(found, "revision", record.live_revision, found.tags.get(TAG_REVISION, "none"))


def _of_candidate(
    state: EndpointState, record: Record, rollout: Rollout | None, *, is_created: bool
) -> Iterator[Difference]:
    name, found = record.candidate, state.deployments.get(record.candidate)
    is_expected = bool(record.share) or (is_created and rollout is not None)
    if found is None:
        if is_expected:
            yield report_deletion(name)
        return
    own = {TAG_ROLLOUT: record.rollout, TAG_REVISION: record.revision}
    if not found.has(own):
        if is_expected or TAG_ROLLOUT not in found.tags:  # else it is an earlier rollout's, which is made anew
            came = "came up meanwhile and no rollout made it"
            words = "is no longer the one that this rollout made" if is_expected else came
            yield Difference(
                what=f"deployment {name}",
                expected=_whose(own),
                found=_whose(found.tags),
                words=f"deployment {name} {words}: {BY} deployed it",
                is_listed=True,
            )
        return
    if tested := (rollout and rollout.made_of) or record.made_of:
        if is_created and is_final(state, name) and tested.digest != found.digest:  # before that Azure shows not all
            yield report_change(name, tested, Composition.of(found))
        return
    for kind, asset, shown in (
        ("model", record.model, found.model),
        ("environment", record.environment, found.environment),
    ):
        if asset and shown and label_of(asset) is None:
            yield from compare_part(found, kind, short(asset), shown)


def _whose(tags: Mapping[str, str]) -> str:
    return f"of rollout {tags.get(TAG_ROLLOUT, 'none')}, revision {tags.get(TAG_REVISION, 'none')}"


def _of_counts(
    state: EndpointState, record: Record, rollout: Rollout | None, autoscaled: Collection[str], *, is_created: bool
) -> Iterator[Difference]:
    for name, allowed in (
        (record.baseline.live, _live_counts(record, rollout, is_created=is_created)),
        (record.candidate, _candidate_counts(state, record, rollout)),
    ):
        found = state.deployments.get(name)
        if found is None or not allowed or found.scales_itself or name.lower() in autoscaled:
            continue
        if found.instance_count not in allowed:
            left = allowed[0]
            yield Difference(
                what=f"the instances of {name}",
                expected=str(left),
                found=str(found.instance_count),
                words=(
                    f"deployment {name} has {plural(found.instance_count, 'instance')}, but the rollout left it with "
                    f"{left}: {BY} scaled it"
                ),
                is_repairable=True,
                is_count=True,
                is_listed=True,
            )


def _live_counts(record: Record, rollout: Rollout | None, *, is_created: bool) -> list[int]:
    """The numbers of instances that live may have; first the one that the rollout left it with.

    Whoever took the rollout over may want more for it than who began it.
    """
    baseline = record.baseline.instance_count
    raised = max(record.raised_to, baseline)
    wanted = max(raised, rollout.live_instance_count) if rollout else raised
    if counted := record.instance_counts.get(record.baseline.live):
        return [counted, wanted] if wanted > counted or not is_created else [counted]
    return [wanted] if is_created else [wanted, raised, baseline]


def _candidate_counts(state: EndpointState, record: Record, rollout: Rollout | None) -> list[int] | range:
    """The numbers that the candidate may have: those on record, and what a step of this rollout may give it next.

    Before its first share its YAML may ask for more than live has.
    """
    found = state.deployments.get(record.candidate)
    if found is None or found.tags.get(TAG_ROLLOUT) != record.rollout:
        return []
    counted = record.instance_counts.get(record.candidate)
    if counted is None:
        least = rollout.candidate_instance_count(100, record.baseline.instance_count) if rollout else 1
        return range(least, max(least, found.instance_count) + 1)
    if rollout is None:
        return range(counted, max(counted, found.instance_count) + 1)
    live = state.deployments.get(record.baseline.live)
    shares = (stage.traffic for stage in rollout.project.config.stages)
    next_counts = (rollout.candidate_instance_count(share, live.instance_count if live else 0) for share in shares)
    return [counted, *(count for count in next_counts if count > counted)]
