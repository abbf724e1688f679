"""The commands, their options and what they print."""

import asyncio
import getpass
import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markdown import Markdown

from saferollout.config import project, yaml_file
from saferollout.config.names import check_confirmed
from saferollout.config.rollout import ModelVersion, RolloutConfig
from saferollout.domain.errors import ConfigError, Problem
from saferollout_cli import running
from saferollout_cli.choices import Approve, Candidate

app = typer.Typer(
    name="saferollout",
    help="Blue/green rollouts of models on Azure Machine Learning: gated, approved, and rolled back by themselves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Config = Annotated[Path, typer.Argument(help="The rollout's config (YAML).", show_default=False)]
Endpoint = Annotated[str, typer.Argument(help="The endpoint's name.", show_default=False)]
Model = Annotated[
    str | None, typer.Option(help="Roll out this registered model: azureml:<name>:<version>, or …@latest.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
FlowRun = Annotated[UUID, typer.Argument(help="The flow run's id.", show_default=False)]
By = Annotated[str, typer.Option(help="Who decides.", default_factory=getpass.getuser, show_default="you")]
Comment = Annotated[str, typer.Option(help="Why the decision was taken.")]
Digest = Annotated[
    str | None, typer.Option("--evidence", help="The digest of the evidence on which the run must ask; default: any.")
]


def _model(text: str | None) -> ModelVersion | None:
    if text is None:
        return None
    try:
        return ModelVersion.parse(text)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(Problem("command line", "--model", problem, remedy)) from None


def _print(result: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        Console().print(Markdown(text))


@app.command()
def demo(
    candidate: Annotated[Candidate, typer.Option(help="The candidate to roll out.")] = Candidate.GOOD,
    approve: Annotated[Approve, typer.Option(help="Who answers the approvals.")] = Approve.AUTO,
    requests_per_s: Annotated[float, typer.Option(min=0.1, max=100, help="The users' requests a second.")] = 20,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Keep state and logs here, in a new folder; by default they are removed at the end."),
    ] = None,
) -> None:
    """Watch a whole rollout on this machine: local Azure, users' traffic, gates, approvals."""
    from saferollout_cli.demo.conductor import conduct

    sys.exit(conduct(candidate, approve, requests_per_s, json_file, state_dir))


@app.command()
def run(
    config: Config,
    model: Model = None,
    approve: Annotated[
        Approve | None, typer.Option(help="Who answers the approvals; default: ask in a terminal, else ui.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a rollout in this process; the endpoint's tags let the same command finish what a crash left."""
    how = approve or (Approve.ASK if sys.stdin.isatty() else Approve.UI)
    outcome = running.rollout_here(config, _model(model), how)
    _print(outcome.model_dump(mode="json") | {"report": outcome.report}, outcome.report, as_json=as_json)
    sys.exit(1 if outcome.outcome == "rolled_back" else 0)


@app.command()
def submit(config: Config, model: Model = None, as_json: Json = False) -> None:
    """Start the deployed rollout flow (after `prefect deploy --all`) and return at once."""
    result = running.submit(config, _model(model))
    _print(result, f"Flow run **{result['name']}** `{result['flow_run']}`\n\n{result['link']}", as_json=as_json)


@app.command()
def approve(flow_run: FlowRun, by: By, comment: Comment = "", evidence: Digest = None, as_json: Json = False) -> None:
    """Approve what a rollout waits for."""
    _answer(flow_run, "approve", by, comment, evidence, as_json=as_json)


@app.command()
def reject(flow_run: FlowRun, by: By, comment: Comment = "", evidence: Digest = None, as_json: Json = False) -> None:
    """Reject what a rollout waits for; it rolls back."""
    _answer(flow_run, "reject", by, comment, evidence, as_json=as_json)


def _answer(flow_run: UUID, decision: str, by: str, comment: str, evidence: str | None, *, as_json: bool) -> None:
    from saferollout_cli.approvals import Reply, answer

    try:
        given = Reply.model_validate({"decision": decision, "approver": by, "comment": comment})
    except ValidationError as error:
        raise ConfigError(*yaml_file.problems_of(Path("command line"), error)) from None
    question = asyncio.run(answer(flow_run, given, evidence))
    result = given.model_dump() | {"question": question.title, "evidence": question.evidence}
    _print(result, f"{question.title} **{decision}** (evidence {question.evidence})", as_json=as_json)


@app.command()
def bootstrap(
    config: Config,
    deployment: Annotated[Path | None, typer.Option(help="The first deployment's YAML; default: the config's.")] = None,
    as_json: Json = False,
) -> None:
    """Create the endpoint and its first deployment."""
    project.load(config, deployment=deployment)  # before Prefect is even started: mistakes are reported at once
    from flows.bootstrap import bootstrap as flow

    endpoint = running.flow_here(flow, config=str(config), deployment=str(deployment) if deployment else None)
    _print({"endpoint": endpoint}, f"Endpoint **{endpoint}** serves.", as_json=as_json)


@app.command()
def rollback(
    endpoint: Endpoint,
    force: Annotated[
        bool, typer.Option("--force", help="Roll back also when somebody else changed the traffic.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Roll back an endpoint's rollout, from its tags alone; the workspace is the environment's."""
    workspace = project.resolve_workspace(None)
    from flows.rollback import rollback as flow

    record = running.flow_here(flow, endpoint=endpoint, workspace=workspace, force=force)
    text = f"Rollout {record.rollout} of **{endpoint}** rolled back: {record.baseline.live} has all traffic."
    _print(record.model_dump(mode="json"), text, as_json=as_json)


@app.command()
def retire(
    endpoint: Annotated[str | None, typer.Argument(help="The endpoint's name; default: all.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for the end of the keep window.")] = False,
    as_json: Json = False,
) -> None:
    """Delete old deployments whose keep window is over."""
    if now and endpoint is None:
        raise ConfigError(
            Problem("command line", "--now", "needs an endpoint", "name the one whose keep window is to end")
        )
    workspace = project.resolve_workspace(None)
    from flows.retire import retire as flow

    done = running.flow_here(flow, endpoint=endpoint, workspace=workspace, now=now)
    _print({"done": done}, done, as_json=as_json)


@app.command()
def teardown(
    endpoint: Endpoint,
    confirm: Annotated[
        str,
        typer.Option(prompt="This deletes the endpoint. Repeat its name", help="The name again; asked for if missing."),
    ],
    as_json: Json = False,
) -> None:
    """Delete an endpoint with all its deployments."""
    workspace = project.resolve_workspace(None)
    check_confirmed(endpoint, confirm)
    from flows.teardown import teardown as flow

    done = running.flow_here(flow, endpoint=endpoint, workspace=workspace, confirm=confirm)
    _print({"done": done}, done, as_json=as_json)


@app.command()
def schema() -> None:
    """Print the JSON schema of the rollout's config, for editors."""
    print(json.dumps(RolloutConfig.model_json_schema(), indent=2, ensure_ascii=False))
