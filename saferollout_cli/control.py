"""Commands for a rollout that is under way: abort, pause, continue, promote, retry."""

import asyncio
from typing import Annotated

import typer

from saferollout.config.names import check_endpoint
from saferollout.config.project import resolve_workspace
from saferollout.domain.errors import ConfigError, Problem
from saferollout.rollout.owner import user_name
from saferollout_cli import running
from saferollout_cli.environment import check_server, patient, server_url
from saferollout_cli.terminal import print_result

Endpoint = Annotated[str, typer.Argument(help="The endpoint's name.", show_default=False)]
By = Annotated[str, typer.Option(help="Who wants it.", default_factory=user_name, show_default="you")]
Comment = Annotated[str, typer.Option(help="Why, for the record.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("abort")(abort)
    app.command("pause")(pause)
    app.command("continue")(go_on)
    app.command("promote")(promote)
    app.command("retry")(retry)


def abort(endpoint: Endpoint, by: By, comment: Comment = "", as_json: Json = False) -> None:
    """Roll an endpoint's rollout back, from its tags alone, and end its flow run with the reason."""
    from tasks.control import ABORTED, end_run

    check_endpoint("abort", endpoint)
    record = running.roll_back(resolve_workspace(None), endpoint, force=False)
    done = f"Rollout {record.rollout} of **{endpoint}** rolled back: {record.baseline.live} has all traffic"
    ended = "no Prefect server is configured: a run that is still there ends by itself at its next step"
    if server_url():
        why = f": {comment}" if comment else ""
        ended = asyncio.run(end_run(record.owner.flow_run, f"{ABORTED}{by}{why}"))
    result = {"outcome": "rolled_back", "flow_run": ended} | record.model_dump(mode="json")
    print_result(result, f"{done}; {ended}.", as_json=as_json)


def pause(endpoint: Endpoint, by: By, comment: Comment = "", as_json: Json = False) -> None:
    """Let a rollout stop before its next step; its candidate keeps the traffic that it has."""
    _act("pause", "paused", endpoint, by, comment, as_json=as_json)


def go_on(endpoint: Endpoint, by: By, comment: Comment = "", as_json: Json = False) -> None:
    """Let a paused rollout go on."""
    _act("continue", "continued", endpoint, by, comment, as_json=as_json)


def promote(
    endpoint: Endpoint,
    by: By,
    comment: Annotated[str, typer.Option(help="Why the judge may be skipped, for the record; required.")] = "",
    skip_judge: Annotated[
        bool, typer.Option("--skip-judge", help="Skip the judge that watches now, or else the next one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Do not wait for the judge: go on to what follows it, an approval or the next share."""
    if not skip_judge:
        problem = "is required: to promote a rollout is to skip its judge"
        raise ConfigError(Problem("command line", "--skip-judge", problem, "add it, or wait for the judge"))
    if not comment.strip():
        raise ConfigError(Problem("command line", "--comment", "is not given", "say why the judge may be skipped"))
    _act("promote", "judge_skipped", endpoint, by, comment, as_json=as_json)


def retry(endpoint: Endpoint, by: By, comment: Comment = "", as_json: Json = False) -> None:
    """Schedule the flow run of a rollout again that has failed, has crashed or hangs; decisions stay."""
    _act("retry", "retried", endpoint, by, comment, as_json=as_json)


def _act(action: str, outcome: str, endpoint: str, by: str, comment: str, *, as_json: bool) -> None:
    check_endpoint(action, endpoint)
    check_server()
    from tasks.control import Action, act

    with patient():
        done = asyncio.run(act(resolve_workspace(None), endpoint, Action(action), by, comment))
    print_result(
        {"outcome": outcome, "endpoint": endpoint, "done": done}, f"{done[:1].upper()}{done[1:]}.", as_json=as_json
    )
