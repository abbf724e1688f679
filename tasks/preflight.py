"""Preflight: read and check the config and all it points to, without calling Azure."""

import asyncio
from pathlib import Path

from prefect import runtime, task

from saferollout.approvals.keys import KEY, KEY_FILE, REMEDY
from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.approvals import Verify
from saferollout.config.handover import check_place, read_event
from saferollout.config.project import Project
from saferollout.config.rollout import ModelVersion
from saferollout.config.yaml_file import display_path
from saferollout.domain.errors import ConfigError, Problem
from tasks.support.keys import SIGNING_KEY, load_keys
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
    found = await asyncio.to_thread(_checked, config, model, deployment)
    await _check_keys(found)
    return found


async def _check_keys(found: Project) -> None:
    """Check that decisions can be signed where approvers prove who they are: what they proved must not be forged.

    Raises:
        ConfigError: They cannot.
    """
    stages = found.config.stages
    if all(found.config.approvals_of(stage).verify is Verify.NONE for stage in stages) or (await load_keys()).signs:
        return
    problem = f"needs a signing key, and this worker has none in {KEY}, {KEY_FILE} or Secret block {SIGNING_KEY}"
    raise ConfigError(Problem(display_path(found.config_path), "approvals.verify", problem, REMEDY))


def _checked(config: str, model: ModelVersion | None, deployment: str | None) -> Project:
    return project.load(config, model, Path(deployment) if deployment else None, sdk=yaml_files)
