"""Bootstrap: an endpoint with its first deployment, so that there is something to roll out from."""

from prefect import flow

from tasks.bootstrap import create_endpoint, create_first, give_all_traffic


@flow(flow_run_name="bootstrap {config}", persist_result=True, result_serializer="json")
async def bootstrap(config: str = "configs/rollout.yaml", deployment: str | None = None) -> str:
    """Create the endpoint and its first deployment, and give that all traffic; what is there stays as it is.

    Args:
        config: Path of the rollout's config.
        deployment: Path of the first deployment's YAML; by default the config's.
    """
    endpoint = await create_endpoint(config, deployment)
    await create_first(config, deployment)
    await give_all_traffic(config, deployment)
    return endpoint
