"""The commands about approvers: `saferollout approver enroll`."""

import asyncio
import io
from typing import Annotated

import segno
import typer

from saferollout.approvals import totp
from saferollout.approvals.approvers import NAME_LENGTH, comparable_name
from saferollout.domain.errors import ConfigError, Problem, Refused
from saferollout_cli.environment import check_server
from saferollout_cli.terminal import err, print_result, say

app = typer.Typer(no_args_is_help=True, help="Who may approve, and how they prove who they are.")


@app.callback()
def main() -> None:
    """Who may approve, and how they prove who they are."""


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(help="The approver's name, as the config has it.", show_default=False)],
    environment: Annotated[
        bool,
        typer.Option(
            "--environment", help="Print the variable to set on every worker, instead of storing a Secret block."
        ),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Make the approver's earlier secret worthless.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")] = False,
) -> None:
    """Make the secret of an approver's codes, and show it once, as a QR code for an authenticator app."""
    if not comparable_name(name) or len(name) > NAME_LENGTH:
        problem = f"{name[:NAME_LENGTH]!r} is empty or longer than {NAME_LENGTH} characters"
        raise ConfigError(Problem("command line", "NAME", problem, "write the approver's name"))
    secret = totp.new_secret()
    variable, block = totp.variable_of(name), totp.block_of(name)
    if not environment:
        check_server()
        asyncio.run(_store(block, secret, name, replace=replace))
    code = io.StringIO()
    segno.make(totp.uri(secret, name), error="m").terminal(code, border=2)
    print(code.getvalue(), file=err())  # `say` would take the colours away
    say(f"Scan this, or enter the key {secret}. It is shown once; whoever has it can approve as {name}.")
    kept = f"Set {variable} to this key on every worker." if environment else f"Kept in Prefect's Secret block {block}."
    result = {
        "outcome": "enrolled",
        "approver": name,
        "variable" if environment else "block": variable if environment else block,
    }
    print_result(result, f"**{name}** is enrolled. {kept}", as_json=as_json)


async def _store(block: str, secret: str, name: str, *, replace: bool) -> None:
    from prefect.blocks.system import Secret

    try:
        await Secret(value=secret).asave(block, overwrite=replace)
    except ValueError as error:
        if "already in use" not in str(error):
            raise
        msg = f"{name} is enrolled already; --replace makes the earlier secret worthless"
        raise Refused(msg) from None
