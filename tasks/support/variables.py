"""Prefect's variables as what all workers share: one that exists is not made again, which decides who came first."""

from typing import Any

from prefect import get_client
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

TAG = "saferollout"
PAGE = 200


async def create(name: str, value: Any) -> bool:
    """Make a variable; return whether it is new. A value that is there stays."""
    async with get_client() as client:
        try:
            await client.create_variable(VariableCreate(name=name, value=value, tags=[TAG]))
        except ObjectAlreadyExists:
            return False
    return True


async def put(name: str, value: Any) -> None:
    """Set a variable, whether it is there or not."""
    if not await create(name, value):
        async with get_client() as client:
            await client.update_variable(VariableUpdate(name=name, value=value))


async def get(name: str) -> Any:
    """The value of a variable; None without one."""
    async with get_client() as client:
        found = await client.read_variable_by_name(name)
    return found.value if found else None


async def delete(name: str) -> None:
    """Delete a variable, if it is there."""
    async with get_client() as client:
        try:
            await client.delete_variable_by_name(name)
        except ObjectNotFound:
            return


async def newest(prefix: str, limit: int | None = None) -> dict[str, Any]:
    """The values of the variables whose names begin so, the last names first.

    Args:
        prefix: How the names begin.
        limit: How many are read at most; all by default.
    """
    found: dict[str, Any] = {}
    offset = 0
    async with get_client() as client:
        while limit is None or offset < limit:
            size = PAGE if limit is None else min(PAGE, limit - offset)
            body = {"variables": {"name": {"like_": prefix}}, "sort": "NAME_DESC", "limit": size, "offset": offset}
            page = (await client.request("POST", "/variables/filter", json=body)).json()
            found |= {one["name"]: one["value"] for one in page if one["name"].startswith(prefix)}
            offset += size
            if len(page) < size:
                break
    return found
