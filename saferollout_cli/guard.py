"""The guard as a plain process: for cron, systemd or a container, with Prefect or without."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Annotated, cast

import platformdirs
import typer

from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.names import check_endpoint
from saferollout.config.project import Project
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import SaferolloutError
from saferollout_cli.environment import server_url
from saferollout_cli.running import flow_here, repeatable, watch_steps
from saferollout_cli.terminal import print_result, say

AWAY_S = 10.0


def guard(
    endpoints: Annotated[
        list[str] | None, typer.Argument(metavar="[ENDPOINT]...", help="The endpoints' names; default: all.")
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=1, help="Look again every so many seconds, without end; default: look once.")
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(help="A rollout's config, to judge its candidate where Prefect does not answer; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each look as one JSON object on stdout.")] = False,
) -> None:
    """Look after rollouts that nobody is at work on: judge, resume or roll back. Works without Prefect, too."""
    for name in endpoints or ():
        check_endpoint("guard", name)
    workspace = project.resolve_workspace(None)
    projects = {found.endpoint: found for found in (project.load(path, sdk=yaml_files) for path in config or ())}
    watch_steps("guard")
    with repeatable("guard"):
        while True:
            began = time.monotonic()
            try:
                done = _look(workspace, endpoints, projects)
            except SaferolloutError as error:
                if every is None:
                    raise
                say(f"error: {error}")
            else:
                text = "\n".join(f"- **{name}**: {what}" for name, what in done.items())
                result = {"outcome": "looked", "done": done}
                print_result(result, text or "No endpoint carries a rollout.", as_json=as_json)
            if every is None:
                return
            time.sleep(max(0.0, every - (time.monotonic() - began)))


def _look(workspace: WorkspaceConfig, endpoints: list[str] | None, projects: dict[str, Project]) -> dict[str, str]:
    """Look after each endpoint once, as a flow where Prefect's server answers; return what was done about each."""
    if server_url():
        if asyncio.run(_answers()):
            from flows.guard import guard as flow

            return cast(
                "dict[str, str]",
                flow_here(flow, endpoints=endpoints, workspace=workspace),
            )
        say("Prefect does not answer: nothing goes forward, and what is harmful or overdue is rolled back")
    from tasks.guard import look_without_prefect

    folder = platformdirs.user_state_dir("saferollout")
    back = _answers if server_url() else None
    return asyncio.run(look_without_prefect(workspace, endpoints, projects, folder, back))


async def _answers() -> bool:
    """Whether the Prefect server that the environment names answers."""
    from prefect import get_client

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(AWAY_S), get_client() as client:
            return await client.api_healthcheck() is None
    return False
