"""Lookout: what the guard writes into an endpoint's record, without a run of its own."""

from datetime import timedelta

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import Lost
from saferollout.rollout.record import Phase, Record, now, without_record

NOTED_S = 600.0
"""How often a look is put on record, in seconds: each time is a change of the endpoint."""


def note_resume(azure: Workspace, endpoint: str, record: Record, *, by_a_person: bool = False) -> Record:
    """Put on record that the run begins again, which ends the part of the process that had it, if it is alive.

    `by_a_person`: it takes away none of the times that the guard may do so.

    Raises:
        Lost: The rollout has gone on, or has ended.
    """
    due = record.due + (now() - record.since) if record.due else None  # it may need all its time again
    most = record.max_resumes + by_a_person
    return _change(azure, endpoint, record, resumes=record.resumes + 1, max_resumes=most, due=due)


def note_look(azure: Workspace, endpoint: str, record: Record) -> Record:
    """Put on record that the guard has looked, unless it did so a while ago.

    Raises:
        Lost: The rollout has gone on, or has ended.
    """
    if record.guarded and now() - record.guarded < timedelta(seconds=NOTED_S):
        return record
    return _change(azure, endpoint, record, guarded=now().replace(microsecond=0))


def _change(azure: Workspace, endpoint: str, record: Record, **changes: object) -> Record:
    changed = record.model_copy(update=changes)

    def write(tags: dict[str, str]) -> dict[str, str]:
        there = Record.from_tags(tags)
        if there is None or there.phase is not Phase.ROLLING or there != record:
            msg = f"rollout {record.rollout} of {endpoint} has gone on meanwhile"
            raise Lost(msg)
        return without_record(tags) | changed.to_tags()

    azure.update_endpoint(endpoint, tags=write)
    return changed
