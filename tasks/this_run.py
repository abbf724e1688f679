"""The flow run that asks."""

from uuid import UUID

from prefect import runtime


def run_id() -> UUID:
    """Its id."""
    return UUID(str(runtime.flow_run.id))
