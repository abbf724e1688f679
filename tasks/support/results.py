"""What a run has kept of its gates, and what the guard keeps of its looks: the judge goes on where it was."""

from dataclasses import dataclass
from uuid import UUID

from prefect.client.schemas.objects import TaskRun
from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.results import aget_default_result_storage
from pydantic import ValidationError

from saferollout.config.project import Project
from saferollout.domain.evidence import Evidence
from saferollout.rollout.record import Record
from tasks.support.names import steps_of

FOLDER = "saferollout-guard"
DONE = ("Completed", "Cached")
KEPT = ("preflight", "resolve labels", "smoke test", "mirror", "judge")
"""How the names of the steps begin whose results are kept: to look for any other's takes seconds."""


@dataclass
class Kept:
    """What the steps of a run have returned so far, as far as it can be read here."""

    project: Project
    evidence: list[Evidence]
    """What the gates found, the last one last."""


async def kept_by(run: UUID) -> Kept | None:
    """Read what a run has kept; None where its results are not on storage that is shared with this machine."""
    project: Project | None = None
    assets: dict[str, str] = {}
    evidence: list[Evidence] = []
    steps = [step for step in await steps_of(run) if step.state_name in DONE and step.name.startswith(KEPT)]
    for step in sorted(steps, key=lambda step: str(step.end_time)):  # of one clock and one form
        result = await _result(step)
        if isinstance(result, Project):
            project = result
        elif isinstance(result, Evidence):
            evidence.append(result)
        elif isinstance(result, dict) and step.name.startswith("resolve labels"):
            assets = result
    if project is None:
        return None
    return Kept(project.with_assets(assets) if assets else project, evidence)


async def last_evidence(record: Record) -> Evidence | None:
    """What was last found of a rollout's candidate, by the guard or by a gate; None if nothing can be read here."""
    if looked := await Looks().read(record.rollout, str(record.changes or "")):
        return looked
    kept = await kept_by(UUID(record.owner.flow_run))
    return kept.evidence[-1] if kept and kept.evidence else None


async def _result(step: TaskRun) -> object:
    """What the step returned; None where that was not kept, or is kept elsewhere."""
    if step.state is None or step.state.data is None:
        return None
    try:
        return await step.state.aresult(raise_on_failure=False)
    except Exception:  # noqa: BLE001  # Prefect names no exceptions here: missing file, other storage, other version
        return None


class Looks:
    """The guard's evidence so far, by rollout, where Prefect keeps results: on shared storage for several workers."""

    def __init__(self, storage: WritableFileSystem | None = None) -> None:
        self._storage = storage

    async def _opened(self) -> WritableFileSystem:
        if self._storage is None:
            self._storage = await aget_default_result_storage()
        return self._storage

    async def read(self, rollout: str, which: str) -> Evidence | None:
        """What the last look found; None if there was none. A candidate that was changed is another one (`which`)."""
        try:
            content = await (await self._opened()).read_path(_path(rollout, which))
            return Evidence.model_validate_json(content)
        except (ValueError, OSError, ValidationError):  # none, or half of one
            return None

    async def write(self, rollout: str, which: str, evidence: Evidence) -> None:
        """Keep what a look found."""
        await (await self._opened()).write_path(_path(rollout, which), evidence.model_dump_json().encode())


def looks_in(folder: str) -> Looks:
    """Looks that are kept in a folder, for a guard without Prefect."""
    return Looks(LocalFileSystem(basepath=folder))


def _path(rollout: str, which: str) -> str:
    return f"{FOLDER}/{rollout}{f'-{which}' if which else ''}.json"
