"""Succession: which rollout may take the place of another one that is under way."""

from saferollout.config.assets import short
from saferollout.config.project import Project
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Phase, Record


def may_supersede(project: Project, record: Record, owner: Owner) -> bool:
    """Whether the rollout in the record may be rolled back for the project's: of another revision, and no newer one.

    One that is being rolled back already is waited for.
    """
    return (
        record.phase is Phase.ROLLING
        and record.revision != project.revision
        and record.owner.flow_run != owner.flow_run
        and not is_older(project.model, record.model)
    )


def is_older(model: str, than: str) -> bool:
    """Whether it is an earlier version of the same model; where versions are not numbers, nobody knows."""
    name, _, version = short(model).rpartition(":")
    other, _, newer = short(than).rpartition(":")
    return bool(name) and name == other and version.isdecimal() and newer.isdecimal() and int(version) < int(newer)
