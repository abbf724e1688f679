"""Preflight: read and check the config and all it points to, without calling Azure."""

import asyncio
from pathlib import Path

from prefect import task

from saferollout.azure.yaml_files import check
from saferollout.config import project
from saferollout.config.project import Project
from saferollout.config.rollout import ModelVersion
from tasks.support.names import named
from tasks.support.policy import ONCE


@task(task_run_name=named("preflight"), **ONCE)
async def preflight(config: str, model: ModelVersion | None, deployment: str | None = None) -> Project:
    """Return the project as it is when the run begins; ConfigError with every mistake in the input."""
    return await asyncio.to_thread(_checked, config, model, deployment)


def _checked(config: str, model: ModelVersion | None, deployment: str | None) -> Project:
    found = project.load(config, model, Path(deployment) if deployment else None)
    check(found)
    return found
