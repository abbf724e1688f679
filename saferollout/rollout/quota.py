"""Quota: whether the instances that a rollout adds fit into what Azure gives, as far as Azure shows it beforehand."""

import logging
from collections import Counter

from saferollout.azure.workspace import Workspace
from saferollout.config import yaml_file
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.errors import AzureFailed, Refused
from saferollout.domain.vm_size import VmSize
from saferollout.domain.words import plural
from saferollout.rollout.rollout import Rollout

log = logging.getLogger(__name__)


def check_quota(workspace: Workspace, rollout: Rollout, state: EndpointState) -> None:
    """Check that there are cores for the candidate, and for the instances that live gets during the rollout.

    Where Azure does not show the quota, a line in the log says so, and Azure decides when instances are created.

    Raises:
        Refused: A family of VM sizes has too few cores left.
    """
    project = rollout.project
    wanted = workspace.load_deployment(
        project.deployment_path, rollout.endpoint, rollout.candidate, assets=project.assets
    )
    live = state.deployments[rollout.live]
    if not (live.instance_type and wanted.instance_type):
        return  # a Kubernetes cluster has no quota
    whole = rollout.candidate_instance_count(100, rollout.live_instance_count)
    candidate_count = max(int(wanted.instance_count or 1), whole)
    changes = [
        (live.instance_type, rollout.live_instance_count, 1),
        (live.instance_type, live.instance_count, -1),
        (wanted.instance_type, candidate_count, 1),
    ]
    if (replaced := state.deployments.get(rollout.candidate)) and replaced.instance_type:
        changes.append((replaced.instance_type, replaced.instance_count, -1))
    try:
        sizes = workspace.vm_sizes(state.location)
    except AzureFailed as error:
        remedy = "; the role Reader on the subscription lets you read it" if error.status in (403, 404) else ""
        _say_unknown(rollout, f"{error}{remedy}")
        return
    if unknown := {name for name, _, _ in changes if name.lower() not in sizes}:
        _say_unknown(rollout, f"Azure shows no quota of {', '.join(sorted(unknown))} in {state.location}")
        return
    needed: Counter[str] = Counter()
    for name, count, sign in changes:
        size = sizes[name.lower()]
        needed[size.family] += sign * size.cores_of(count)
    plan = f"{rollout.candidate} with {plural(candidate_count, 'instance')} of {wanted.instance_type}"
    if rollout.live_instance_count > live.instance_count:
        plan += f", {rollout.live} with {rollout.live_instance_count} instead of {live.instance_count}"
    for size in {size.family: size for size in sizes.values()}.values():
        _check_family(size, needed[size.family], plan, rollout, state)


def _check_family(size: VmSize, needed: int, plan: str, rollout: Rollout, state: EndpointState) -> None:
    if size.limit is None or needed <= (free := max(0, size.limit - size.used)):
        return
    live = ", `live.instance_count`" if rollout.live_instance_count > rollout.baseline.instance_count else ""
    msg = (
        f"the rollout needs {plural(needed, 'core')} more of {size.family} in {state.location}, for {plan}, and {free} "
        f"of {size.limit} are free (Azure may count 20% more instances than you ask for); request quota for Azure "
        f"Machine Learning, or ask for fewer instances: `candidate.instance_count`{live} in the config, "
        f"`instance_count` in {yaml_file.display_path(rollout.project.deployment_path)}"
    )
    raise Refused(msg)


def _say_unknown(rollout: Rollout, why: str) -> None:
    log.warning("whether the quota has room for %s is not known before Azure creates it: %s", rollout.candidate, why)
