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
from saferollout.domain.fault_points import Step
from tasks.support.boundaries import bounded
from tasks.support.keys import SIGNING_KEY, load_keys
from tasks.support.names import named
from tasks.support.policy import ONCE
from tasks.support.requester import requester_of


@task(task_run_name=named("preflight"), **ONCE)
@bounded(Step.PREFLIGHT)
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


async def check_approvals(project: Project, *, event: str, requester: str) -> None:
    """Check that the rules for approvals can be kept, before anything is done.

    Raises:
        ConfigError: What approvers prove could be forged, as no key signs it; or who requested the rollout may not
            approve it, and nobody says who that is.
    """
    rules = [project.config.approvals_of(stage) for stage in project.config.stages]
    file = display_path(project.config_path)
    if any(rule.verify is not Verify.NONE for rule in rules) and not (await load_keys()).signs:
        problem = f"needs a signing key, and this worker has none in {KEY}, {KEY_FILE} or Secret block {SIGNING_KEY}"
        raise ConfigError(Problem(file, "approvals.verify", problem, REMEDY))
    if any(rule.not_requester for rule in rules) and not requester_of(event, requester).name:
        problem = "who requested this rollout may not approve it, and nobody says who that is"
        remedy = "start the run with a `requester`, or name one in the event"
        raise ConfigError(Problem(file, "approvals.not_requester", problem, remedy))


def _checked(config: str, model: ModelVersion | None, deployment: str | None) -> Project:
    return project.load(config, model, Path(deployment) if deployment else None, sdk=yaml_files)
