"""The commands, their options and what they print."""

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import SecretStr, ValidationError

from saferollout.approvals.freeze import next_freeze
from saferollout.azure import yaml_files
from saferollout.config import project, yaml_file
from saferollout.config.names import check_confirmed, check_endpoint
from saferollout.config.notify import unset_variables
from saferollout.config.rollout import RolloutConfig
from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.words import clock
from saferollout.rollout.owner import user_name
from saferollout.rollout.record import now
from saferollout_cli import adopt, approvers, control, open_questions, records, running
from saferollout_cli.choices import Approve, Candidate
from saferollout_cli.environment import check_server, patient
from saferollout_cli.guard import guard
from saferollout_cli.plan import plan
from saferollout_cli.setup import setup
from saferollout_cli.status import status
from saferollout_cli.submit import read_model, reason_of, submit
from saferollout_cli.terminal import err, print_json, print_result, say, show
from saferollout_cli.wait import wait

app = typer.Typer(
    name="saferollout",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(approvers.app, name="approver")
app.add_typer(open_questions.app, name="approvals")
for command in (records.history, records.attest, records.verify):
    app.command()(command)

Config = Annotated[Path, typer.Argument(help="The rollout's config (YAML).", show_default=False)]
Endpoint = Annotated[str, typer.Argument(help="The endpoint's name.", show_default=False)]
Model = Annotated[
    str | None, typer.Option(help="Roll out this registered model: azureml:<name>:<version>, or …@latest.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="While another rollout has the endpoint, wait for its end; else it is refused.")
]
Again = Annotated[
    bool, typer.Option("--again", help="Roll out a revision that is held: it did harm before, or was rejected.")
]
IgnoreFreeze = Annotated[
    str | None, typer.Option(metavar="COMMENT", help="Shift also in freeze windows, and say why; it is put on record.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
Target = Annotated[str, typer.Argument(help="The endpoint's name, or the flow run's id.", show_default=False)]
By = Annotated[str, typer.Option(help="Who decides.", default_factory=user_name, show_default="you")]
Comment = Annotated[str, typer.Option(help="Why the decision was taken.")]
Code = Annotated[
    str,
    typer.Option(
        help="The code that proves who decides, where the run wants one; in a terminal it is asked for, and not shown.",
        envvar="SAFEROLLOUT_CODE",
    ),
]
Digest = Annotated[
    str | None, typer.Option("--evidence", help="The digest of the evidence on which the run must ask; default: any.")
]


def _options(wait: bool, again: bool, ignore_freeze: str | None) -> dict[str, Any]:
    """The flow's parameters that both ways of starting it have."""
    return {"wait": wait, "again": again, "by": user_name(), "ignore_freeze": reason_of(ignore_freeze)}


def _print_version(asked: bool) -> None:
    if asked:
        print(f"saferollout {version('saferollout')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Blue/green rollouts of models on Azure Machine Learning: gated, approved, and rolled back by themselves."""


@app.command()
def demo(
    candidate: Annotated[Candidate, typer.Option(help="The candidate to roll out.")] = Candidate.GOOD,
    approve: Annotated[Approve, typer.Option(help="Who answers the approvals.")] = Approve.AUTO,
    handoff: Annotated[
        bool, typer.Option("--handoff", help="Train a model, which is handed over to the rollout if it is better.")
    ] = False,
    requests_per_s: Annotated[float, typer.Option(min=0.1, max=100, help="The users' requests a second.")] = 20,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Keep state and logs here, in a new folder; by default they are removed at the end."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch a whole rollout on this machine: local Azure, users' traffic, gates, approvals."""
    from saferollout_cli.demo.conductor import conduct

    sys.exit(conduct(candidate, approve, requests_per_s, state_dir, handoff=handoff, as_json=as_json))


@app.command()
def run(
    config: Config,
    model: Model = None,
    approve: Annotated[
        Approve | None, typer.Option(help="Who answers the approvals; default: ask in a terminal, else ui.")
    ] = None,
    wait: Wait = False,
    again: Again = False,
    ignore_freeze: IgnoreFreeze = None,
    as_json: Json = False,
) -> None:
    """Run a rollout in this process; the endpoint's tags let the same command finish what a crash left."""
    options = _options(wait, again, ignore_freeze)
    if approve is Approve.UI:
        check_server()
    how = approve or (Approve.ASK if sys.stdin.isatty() else Approve.UI)
    outcome = running.rollout_here(config, read_model(model), how, **options)
    print_result(outcome.model_dump(mode="json") | {"report": outcome.report}, outcome.report, as_json=as_json)
    sys.exit(1 if outcome.outcome == "rolled_back" else 0)


@app.command()
def validate(config: Config, model: Model = None, as_json: Json = False) -> None:
    """Check a rollout's config and all that it points to; nothing is called."""
    found = running.check(config, read_model(model))
    freeze = next_freeze(found.config.freeze, now())
    result: dict[str, Any] = {
        "outcome": "valid",
        "endpoint": found.endpoint,
        "candidate": found.label,
        "revision": found.revision,
    }
    result["next_freeze"] = freeze.model_dump(mode="json") if freeze else None
    text = f"`{config}` is valid: it rolls {found.label} out to the endpoint **{found.endpoint}**."
    if freeze:
        text += f"\n\nNothing is shifted from {clock(freeze.since)} until {clock(freeze.until)} ({freeze.why})."
    if missing := unset_variables(found.config.notify):
        text += f"\n\nNot set here, but needed where it runs: {', '.join(missing)}."
    print_result(result, text, as_json=as_json)


@app.command()
def approve(
    target: Target, by: By, comment: Comment = "", code: Code = "", evidence: Digest = None, as_json: Json = False
) -> None:
    """Approve what a rollout waits for; the evidence is shown first."""
    given = {"decision": "approve", "approver": by, "comment": comment, "code": code}
    _answer(target, given, evidence, as_json=as_json)


@app.command()
def reject(
    target: Target, by: By, comment: Comment = "", code: Code = "", evidence: Digest = None, as_json: Json = False
) -> None:
    """Reject what a rollout waits for; it rolls back."""
    given = {"decision": "reject", "approver": by, "comment": comment, "code": code}
    _answer(target, given, evidence, as_json=as_json)


def _answer(target: str, said: dict[str, str], evidence: str | None, *, as_json: bool) -> None:
    check_server()
    from saferollout_cli.approvals import Reply, WaitingQuestion, answer
    from saferollout_cli.signin import Desk

    def read(question: WaitingQuestion, given: Reply) -> Reply:
        """Show the question; a person at a terminal who has not named the evidence is asked whether it is read."""
        show(question.text)
        is_terminal = sys.stdin.isatty() and err().isatty()
        if evidence is None and is_terminal:
            typer.confirm(f"{given.decision.capitalize()} this?", abort=True, err=True)
        if question.wants_code and not given.code.get_secret_value() and is_terminal:
            return given.model_copy(update={"code": SecretStr(typer.prompt("Code", hide_input=True, err=True))})
        return given

    try:
        given = Reply.model_validate(said)
    except ValidationError as error:
        raise ConfigError(*yaml_file.problems_of(Path("command line"), error)) from None
    desk = Desk(say)
    with patient():
        question = asyncio.run(answer(_flow_run(target) or target, given, evidence, read, desk.give))
    given = given.model_copy(update={"approver": desk.approver})
    result = (
        {"outcome": "approved" if given.decision == "approve" else "rejected"}
        | given.model_dump(exclude={"code", "proof"})
        | {"question": question.title, "evidence": question.evidence}
    )
    text = f"{question.title} **{given.decision}** (evidence {question.evidence})"
    if question.wants_code:
        text += " The run checks the code next; if it does not count, it asks again and says why."
    print_result(result, text, as_json=as_json)


def _flow_run(target: str) -> UUID | None:
    try:
        return UUID(target)
    except ValueError:
        return None


@app.command()
def bootstrap(
    config: Config,
    deployment: Annotated[Path | None, typer.Option(help="The first deployment's YAML; default: the config's.")] = None,
    as_json: Json = False,
) -> None:
    """Create the endpoint and its first deployment."""
    # before Prefect is even started: mistakes are reported at once
    project.load(config, deployment=deployment, sdk=yaml_files)
    from flows.bootstrap import bootstrap as flow

    endpoint = running.flow_here(flow, config=str(config), deployment=str(deployment) if deployment else None)
    print_result({"outcome": "bootstrapped", "endpoint": endpoint}, f"Endpoint **{endpoint}** serves.", as_json=as_json)


@app.command()
def rollback(
    endpoint: Endpoint,
    force: Annotated[
        bool, typer.Option("--force", help="Roll back also when somebody else changed the traffic.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Roll back an endpoint's rollout, from its tags alone; the workspace is the environment's."""
    check_endpoint("rollback", endpoint)
    workspace = project.resolve_workspace(None)
    record = running.roll_back(workspace, endpoint, force=force)
    text = f"Rollout {record.rollout} of **{endpoint}** rolled back: {record.baseline.live} has all traffic."
    text += " Without recorded requests it was not verified that users are off the candidate."
    print_result({"outcome": "rolled_back"} | record.model_dump(mode="json"), text, as_json=as_json)


@app.command()
def release(
    endpoint: Endpoint,
    comment: Annotated[str, typer.Option(help="Why the revision may be rolled out again.")],
    by: By,
    as_json: Json = False,
) -> None:
    """End the hold on a revision that did harm or was rejected: schedules and events may start it again."""
    check_endpoint("release", endpoint)
    if not comment.strip():
        raise ConfigError(Problem("command line", "--comment", "is empty", "say why the revision may be tried again"))
    found = running.release(project.resolve_workspace(None), endpoint, by=by, comment=comment)
    print_result({"outcome": "released", "hold": found}, f"Released by {by}: {found}", as_json=as_json)


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
    if endpoint is not None:
        check_endpoint("retire", endpoint)
    workspace = project.resolve_workspace(None)
    if endpoint is not None:
        running.workspace_of(workspace, "retire").get_endpoint(endpoint)  # before Prefect is even started
    from flows.retire import retire as flow

    done = running.flow_here(flow, endpoint=endpoint, workspace=workspace, now=now)
    print_result({"outcome": "retired", "done": done}, done, as_json=as_json)


@app.command()
def teardown(
    endpoint: Endpoint,
    confirm: Annotated[
        str | None,
        typer.Option(help="The endpoint's name again; asked for in a terminal if not given.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Delete an endpoint with all its deployments."""
    check_endpoint("teardown", endpoint)
    workspace = project.resolve_workspace(None)
    if confirm is None and sys.stdin.isatty():
        confirm = str(typer.prompt("This deletes the endpoint. Repeat its name", err=True))
    if confirm is None:
        remedy = f"repeat the endpoint's name: --confirm {endpoint}"
        raise ConfigError(Problem("command line", "--confirm", "not given, and there is no terminal to ask in", remedy))
    check_confirmed(endpoint, confirm)
    if running.workspace_of(workspace, "teardown").observe(endpoint) is None:
        done = f"there is no endpoint {endpoint}: nothing to delete"
    else:
        from flows.teardown import teardown as flow

        done = running.flow_here(flow, endpoint=endpoint, workspace=workspace, confirm=confirm)
    print_result({"outcome": "deleted", "done": done}, done, as_json=as_json)


for other in (guard, status, adopt.init, adopt.record, submit, plan, setup, wait):
    app.command()(other)


@app.command()
def schema() -> None:
    """Print the JSON schema of the rollout's config, for editors."""
    print_json(RolloutConfig.model_json_schema())


control.register(app)
