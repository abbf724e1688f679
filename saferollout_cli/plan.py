"""Plan: what a rollout would do now, for a pull request say; nothing is changed."""

from pathlib import Path
from typing import Annotated

import typer

from saferollout.config.request import find_config
from saferollout.rollout.owner import Owner
from saferollout.rollout.plan import make_plan
from saferollout.rollout.record import now
from saferollout_cli import running
from saferollout_cli.submit import read_model
from saferollout_cli.terminal import print_result, write_report

Report = Annotated[
    Path | None, typer.Option("--report", help="Write the report to this file, too, as markdown.", dir_okay=False)
]


def plan(
    config: Annotated[
        Path, typer.Argument(help="The rollout's config: a path, or the name of one in `configs`.", show_default=False)
    ],
    model: Annotated[
        str | None, typer.Option(help="Plan for this registered model: <name>:<version>, or <name>@latest.")
    ] = None,
    report: Report = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")] = False,
) -> None:
    """Say what a rollout would do now: it reads Azure, changes nothing, and needs no Prefect."""
    found = running.check(Path(find_config(str(config))), read_model(model))
    workspace = running.workspace_of(found.config.workspace, "plan")
    found = found.with_assets(workspace.resolve(found.assets))
    planned = make_plan(workspace, found, Owner.here("", in_process=True), now())
    write_report(report, planned.report)
    print_result(planned.model_dump(mode="json") | {"report": planned.report}, planned.report, as_json=as_json)
