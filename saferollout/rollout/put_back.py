"""Put back: set again what the rollout had set, and what somebody else has changed; a person wants it so."""

from saferollout.azure.workspace import Workspace
from saferollout.rollout import drift
from saferollout.rollout.rollout import Rollout


def put_back(azure: Workspace, rollout: Rollout, *, at_most: int) -> None:
    """Set again what the rollout had set; instances that somebody added stay, and count as the rollout's from now on.

    `at_most` is the largest share that the rollout can have reached: what the tags say, anybody may have written.

    Raises:
        Drifted: Something was changed that cannot be set again.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint)
    record = rollout.own_record(state.tags)
    is_made = rollout.candidate in state.deployments and state.deployments[rollout.candidate].has(
        rollout.candidate_tags
    )
    found = drift.look(azure, state, record, rollout, is_created=is_made, at_most=at_most)
    if lasting := [each for each in found if not each.is_repairable]:
        drift.refuse(lasting)
    live = rollout.live_instance_count
    azure.scale_up(rollout.endpoint, rollout.live, live)
    if is_made:
        needed = rollout.candidate_instance_count(100, rollout.baseline.instance_count)
        azure.scale_up(
            rollout.endpoint, rollout.candidate, max(needed, record.instance_counts.get(rollout.candidate, 0))
        )
    counts = drift.counted(azure.settled(rollout.endpoint), record)
    azure.update_endpoint(
        rollout.endpoint,
        traffic=record.traffic(),
        mirror=state.mirror_without(rollout.candidate, rollout.live),
        tags=lambda tags: rollout.advanced(tags, asks=None, instance_counts=counts, drifts=record.drifts + 1),
    )
