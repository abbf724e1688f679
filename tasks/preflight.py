"""Preflight: read and check the config and all it points to, without calling Azure."""

import asyncio
from pathlib import Path

from prefect import runtime, task

from saferollout.approvals.freeze import check_windows
from saferollout.approvals.keys import KEY, KEY_FILE, PAGE_KEY, PAGE_KEY_FILE, REMEDY
from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.approvals import Verify
from saferollout.config.model_version import ModelVersion
from saferollout.config.project import Project
from saferollout.config.request import RolloutRequest, check_place, find_config
from saferollout.config.yaml_file import display_path
from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.fault_points import Step
from saferollout.rollout.record import now
from tasks.support.boundaries import bounded
from tasks.support.keys import SIGNING_KEY, load_keys, load_page_keys
from tasks.support.names import named
from tasks.support.policy import ONCE
from tasks.support.requester import requester_of


@task(task_run_name=named("preflight"), **ONCE)
@bounded(Step.PREFLIGHT)
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


async def check_approvals(project: Project) -> None:
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
    if any(rule.verify is Verify.OIDC for rule in rules) and not load_page_keys():
        problem = (
            f"needs the public key of the approvals page, and this worker has none in {PAGE_KEY} or {PAGE_KEY_FILE}"
        )
        remedy = "write it with `openssl pkey -in page-key.pem -pubout`"
        raise ConfigError(Problem(file, "approvals.verify", problem, remedy))
    if any(rule.not_requester for rule in rules) and not requester_of(project.request.by).name:
        problem = "who requested this rollout may not approve it, and nobody says who that is"
        remedy = "say who asks: `by` of the run, or of the event"
        raise ConfigError(Problem(file, "approvals.not_requester", problem, remedy))


def _checked(config: str, model: ModelVersion | None, deployment: str | None) -> Project:
    found = project.load(config, model, Path(deployment) if deployment else None, sdk=yaml_files)
    check_windows(found, now())
    return found
