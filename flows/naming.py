"""Telling names for flow runs that know only after they began what they are about."""

from uuid import UUID

from prefect import get_client, runtime


async def name_run(name: str) -> None:
    """Rename the current flow run."""
    async with get_client() as client:
        await client.update_flow_run(UUID(str(runtime.flow_run.id)), name=name)
