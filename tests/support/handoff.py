"""Requests for rollouts at a Prefect server on which our deployments are, and no worker."""

from typing import Any

from tests.support import stack
from tests.support.prefect import Server
from tests.support.stack import wait_for

LISTED = 200
"""How many runs the server lists at once."""


def post(server: Server, path: str, body: Any) -> tuple[int, Any]:
    """Call the API as curl does; SQLite's passing 503 is asked again."""

    def call() -> tuple[int, Any] | None:
        response = stack.client().post(f"{server.url}{path}", json=body)
        if response.status_code == 503:
            return None
        return response.status_code, response.json() if response.content else None

    return wait_for(path, call)


def runs(server: Server) -> list[dict[str, Any]]:
    """The runs of the deployed rollout, the oldest first."""
    body = {"deployments": {"name": {"any_": ["rollout"]}}, "limit": LISTED, "sort": "EXPECTED_START_TIME_ASC"}
    found: list[dict[str, Any]] = []
    while len(found) % LISTED == 0:
        listed = post(server, "/flow_runs/filter", body | {"offset": len(found)})[1]
        if not listed:
            break
        found += listed
    return found


def deployment(server: Server) -> dict[str, Any]:
    """The deployed rollout."""
    response = stack.client().get(f"{server.url}/deployments/name/rollout/rollout").raise_for_status()
    found: dict[str, Any] = response.json()
    return found
