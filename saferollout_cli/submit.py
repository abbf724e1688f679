"""Submit: ask the deployed rollout, which a worker runs, for a model version."""

from typing import Annotated, Any

import typer
from ruamel.yaml.error import YAMLError

from saferollout.config import bounded_yaml
from saferollout.config.model_version import ModelVersion
from saferollout.config.request import read_request
from saferollout.domain.errors import ConfigError, Problem
from saferollout.rollout.owner import user_name
from saferollout_cli import running
from saferollout_cli.terminal import print_result


def submit(
    config: Annotated[
        str, typer.Argument(help="The rollout's config: a path, or the name of one in `configs`.", show_default=False)
    ],
    model: Annotated[
        str | None, typer.Option(help="Roll out this registered model: <name>:<version>, or <name>@latest.")
    ] = None,
    why: Annotated[str, typer.Option(help="Why, for the report.")] = "",
    request_id: Annotated[
        str, typer.Option(help="A second request of the endpoint with the same id starts nothing.")
    ] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one of a few keys of the config for this rollout."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="While another rollout has the endpoint, wait for its end.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Roll out a revision that is held: it did harm before, or was rejected.")
    ] = False,
    ignore_freeze: Annotated[
        str | None, typer.Option(metavar="WHY", help="Give traffic in freeze windows, too, and say why.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")] = False,
) -> None:
    """Start the deployed rollout flow (after `saferollout setup`) and return at once."""
    given = {"config": config, "model": read_model(model), "by": user_name(), "why": why, "request_id": request_id}
    request = read_request(given | {"overrides": _settings(overrides or [])}, "command line")
    result = running.submit(request, wait=wait, again=again, ignore_freeze=reason_of(ignore_freeze))
    text = (
        f"Flow run **{result['name']}** `{result['flow_run']}`\n\n{result['link']}\n\n"
        f"When it asks for an approval: `saferollout approve {result['endpoint']}`, or Resume in the UI."
    )
    print_result({"outcome": "submitted"} | result, text, as_json=as_json)


def reason_of(ignore_freeze: str | None) -> str:
    """Why freeze windows are to be ignored; empty if they are not.

    Raises:
        ConfigError: No reason is given.
    """
    if ignore_freeze is not None and not ignore_freeze.strip():
        raise ConfigError(Problem("command line", "--ignore-freeze", "is empty", "say why it cannot wait"))
    return ignore_freeze or ""


def read_model(text: str | None) -> ModelVersion | None:
    """Read what `--model` names.

    Raises:
        ConfigError: It is not a model version.
    """
    if text is None:
        return None
    try:
        return ModelVersion.parse(text)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(Problem("command line", "--model", problem, remedy)) from None


def _settings(texts: list[str]) -> dict[str, Any]:
    """The values, read as YAML, by their keys."""
    found: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        try:
            found[key] = bounded_yaml.load(value)
        except YAMLError:
            sign = ""
        if not sign or not value:
            problem = Problem("command line", "--set", f"{text[:60]!r} is not KEY=VALUE", "e.g. when_busy=queue")
            raise ConfigError(problem)
    return found
