"""Preflight: read and check the config and all it points to, without calling Azure."""

import asyncio
from pathlib import Path

from prefect import runtime, task

from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.project import Project
from saferollout.config.request import RolloutRequest, check_place, find_config
from saferollout.config.rollout import ModelVersion
from tasks.support.names import named
from tasks.support.policy import ONCE


@task(task_run_name=named("preflight"), **ONCE)
async def preflight(request: RolloutRequest, deployment: str | None = None) -> Project:
    """Return the project as it is when the run begins; ConfigError with every mistake in the input.

    A deployed run, which others start, reads the worker's own configs only.
    """
    config = find_config(request.config)
    if runtime.deployment.id:
        check_place("config", config)
        if deployment:
            check_place("deployment", deployment)
    found = await asyncio.to_thread(_checked, config, request.model, deployment)
    return found.for_request(request)


def _checked(config: str, model: ModelVersion | None, deployment: str | None) -> Project:
    return project.load(config, model, Path(deployment) if deployment else None, sdk=yaml_files)
