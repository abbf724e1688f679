"""Preflight: read and check the config and all it points to, without calling Azure."""

import asyncio
from pathlib import Path

from prefect import runtime, task

from saferollout.approvals.freeze import check_windows
from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.handover import check_place, read_event
from saferollout.config.project import Project
from saferollout.config.rollout import ModelVersion
from saferollout.rollout.record import now
from tasks.support.names import named
from tasks.support.policy import ONCE


@task(task_run_name=named("preflight"), **ONCE)
async def preflight(config: str, model: ModelVersion | None, deployment: str | None = None, event: str = "") -> Project:
    """Return the project as it is when the run begins; ConfigError with every mistake in the input.

    An `event` names config and model itself. A deployed run, which others start, reads the worker's own configs only.
    """
    if event:
        asked = read_event(event)
        config, model = asked.config, asked.model
    if runtime.deployment.id:
        check_place("config", config)
        if deployment:
            check_place("deployment", deployment)
    return await asyncio.to_thread(_checked, config, model, deployment)


def _checked(config: str, model: ModelVersion | None, deployment: str | None) -> Project:
    found = project.load(config, model, Path(deployment) if deployment else None, sdk=yaml_files)
    check_windows(found, now())
    return found
