"""The names of steps in Prefect: what was done before a run was suspended is named so when it is looked at again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect import get_client, runtime
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun

from saferollout.report.outcome import DONE_BEFORE
from tasks.support.artifacts import publish
from tasks.support.this_run import run_id

_done: set[str] = set()
"""What this run did in an earlier process."""


def named(template: str) -> Callable[..., str]:
    """The name of a task's run, from its parameters.

    Every step is run again after a suspension, and finds its work done.
    """

    def name(parameters: dict[str, Any]) -> str:
        text = template.format(**parameters)
        if changes := getattr(parameters.get("rollout"), "changes", 0):
            text += f" after change {changes}"  # another candidate by now: what was done before is not done
        return text + DONE_BEFORE if text in _done else text

    return name


async def recall_steps() -> None:
    """Ask Prefect what a deployed run has done before; without an answer the steps are named as if they were new."""
    if runtime.deployment.id:
        (runs,) = await publish(steps_of(run_id()))
        _done.update(run.name for run in runs or () if run.state_name in ("Completed", "Cached"))


async def steps_of(run: UUID) -> list[TaskRun]:
    """The runs of the run's tasks."""
    async with get_client() as client:
        return await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
