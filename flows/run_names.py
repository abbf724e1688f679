"""Names that say more, for flow runs that know only after they began what they are about."""

from prefect import get_client

from tasks.support.artifacts import publish
from tasks.support.this_run import run_id


async def name_run(name: str) -> None:
    """Rename the current flow run."""
    async with get_client() as client:
        await publish(client.update_flow_run(run_id(), name=name))
