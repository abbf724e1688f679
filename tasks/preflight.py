"""Preflight: read and check the config and all it points to, without calling Azure."""

from prefect import task

from saferollout import azure, project
from saferollout.config import ModelVersion
from tasks.policy import STEP


@task(task_run_name="preflight", **STEP)
async def preflight(config: str, model: ModelVersion | None) -> None:
    """Raise ConfigError with every mistake in the input."""
    found = project.load(config, model)
    azure.load_endpoint(found.endpoint_path)
    azure.load_deployment(found.deployment_path, name=found.config.slots[1], endpoint=found.endpoint, model=model)
