"""Clean up after a run that Prefect ended without running any code of it: the endpoint goes back to its baseline."""

from uuid import UUID

from prefect import flow, get_client

from flows.cancellation import roll_back_run


@flow(flow_run_name="clean up after {flow_run}", persist_result=True, result_serializer="json")
async def clean_up(flow_run: UUID) -> None:
    """Roll back what a rollout's run began and left: cancelled, failed or out of time while it was suspended.

    Where somebody else changed what the rollout set, and nobody cancelled the run, the endpoint is left as it is unless
    its record says `on_drift: rollback`.

    Args:
        flow_run: The id of the run; one that is still alive, or has rolled back itself, is left as it is.
    """
    async with get_client() as client:
        state = (await client.read_flow_run(flow_run)).state
    if state and state.is_final():
        await roll_back_run(flow_run, even_if_drifted=state.is_cancelled())
