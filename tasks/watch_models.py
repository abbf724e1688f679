"""Watch models: find the model versions that are ready, and request each once."""

from collections.abc import Sequence

from prefect import task

from saferollout.config.request import RolloutRequest
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.registered_model import RegisteredModel
from saferollout.rollout import watch_models
from tasks.support import requests
from tasks.support.access import in_workspace
from tasks.support.policy import STEP


@task(task_run_name="find models with {tag} {value}", **STEP)
async def find_ready(
    workspace: WorkspaceConfig, configs: dict[str, str], tag: str, value: str
) -> list[RegisteredModel]:
    """The newest version of each model that carries the tag."""
    return await in_workspace(workspace, lambda azure: watch_models.find_ready(azure, configs, tag, value))


@task(task_run_name="request rollouts", **STEP)
async def request_new(wanted: Sequence[RolloutRequest]) -> dict[str, str]:
    """Request each once, whenever this is cut short and run again; say what was done, by model and version."""
    before = await requests.submitted(wanted)
    done = {}
    for request in wanted:
        if run := before.get(request.request_id):
            done[_label(request)] = f"already requested: run {run.id} ({run.state_name})"
        else:
            done[_label(request)] = f"requested: run {(await requests.submit(request)).flow_run}"
    return done


def _label(request: RolloutRequest) -> str:
    return str(request.model).removeprefix("azureml:")
