"""Bootstrap: an endpoint with its first deployment, so that there is something to roll out from."""

from prefect import flow

from saferollout.config.request import read_request
from tasks.bootstrap import create_endpoint, create_first, give_all_traffic
from tasks.preflight import preflight
from tasks.resolve import resolve_labels


@flow(flow_run_name="bootstrap {config}", persist_result=True, result_serializer="json")
async def bootstrap(config: str = "configs/rollout.yaml", deployment: str | None = None) -> str:
    """Create the endpoint and its first deployment, and give that all traffic; what is there stays as it is.

    Args:
        config: Path of the rollout's config.
        deployment: Path of the first deployment's YAML; by default the config's.
    """
    project = await preflight(read_request({"config": config}), deployment)
    project = project.with_assets(await resolve_labels(project))
    await create_endpoint(project)
    await create_first(project)
    await give_all_traffic(project)
    return project.endpoint
