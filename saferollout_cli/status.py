"""Status: how endpoints and their rollouts are."""

import asyncio
import time
from typing import Annotated, Any

import typer

from saferollout.config import project
from saferollout.config.names import check_endpoint
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import Missing, words_of
from saferollout.rollout.record import Record, now
from saferollout.rollout.rollout import TAG_ROLLOUT
from saferollout.rollout.status import Status, status_of
from saferollout_cli.environment import server_url
from saferollout_cli.running import workspace_of
from saferollout_cli.terminal import clear, print_result, say

AWAY_S = 10.0
WATCH_S = 5.0


def status(
    endpoint: Annotated[
        str | None, typer.Argument(help="The endpoint's name; default: every one with a rollout.", show_default=False)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 5 seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, at each look.")] = False,
) -> None:
    """Show traffic, stage, who waits for what, the last verdict and what comes next: from Azure, then from Prefect."""
    if endpoint is not None:
        check_endpoint("status", endpoint)
    workspace = project.resolve_workspace(None)
    try:
        while True:
            found = _look(workspace, endpoint)
            if watch and not as_json:
                clear()
            text = "\n\n".join(one.text for one in found) or "No endpoint of the workspace carries a rollout."
            result = {"outcome": "looked", "endpoints": [one.model_dump(mode="json") for one in found]}
            print_result(result, text, as_json=as_json)
            if not watch:
                return
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        return


def _look(config: WorkspaceConfig, endpoint: str | None) -> list[Status]:
    azure = workspace_of(config, "status")
    found = []
    for name in [endpoint] if endpoint else azure.endpoints(with_tag=TAG_ROLLOUT):
        try:
            state = azure.get_endpoint(name)
        except Missing:
            if endpoint:
                raise
            continue
        record = Record.from_tags(state.tags)
        run, evidence = asyncio.run(_of_prefect(record)) if record and server_url() else (None, None)
        found.append(status_of(state, record, run, evidence, now()))
    return found


async def _of_prefect(record: Record) -> tuple[Any, Any]:
    """The rollout's run and its last evidence, as far as Prefect's server says them in time."""
    import httpx
    from prefect import get_client
    from prefect.exceptions import ObjectNotFound

    from tasks.support.results import last_evidence
    from tasks.support.runs import look_up

    try:
        async with asyncio.timeout(AWAY_S), get_client() as client:
            run = await look_up(client, record)
            return run, await last_evidence(record) if run else None
    except (httpx.HTTPError, TimeoutError, ValueError, RuntimeError, ObjectNotFound) as error:
        say(f"Prefect could not be asked: {words_of(error)}")
        return None, None
