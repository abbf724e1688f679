"""The commands about what waits for an approval: `saferollout approvals`, and the page."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from saferollout.domain.text import as_markdown
from saferollout_cli.environment import check_server
from saferollout_cli.terminal import print_result

if TYPE_CHECKING:
    from saferollout_cli.listing import Waiting

app = typer.Typer(help="List what waits for an approval, or serve the page where people sign in and answer.")


@app.callback(invoke_without_command=True)
def approvals(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")] = False,
) -> None:
    """List what waits for an approval, or serve the page where people sign in and answer."""
    if context.invoked_subcommand:
        return
    check_server()
    found = asyncio.run(_list())
    text = "\n".join(map(_line, found)) or "Nothing waits for an approval."
    print_result(
        {"outcome": "listed", "waiting": [one.model_dump(mode="json") for one in found]}, text, as_json=as_json
    )


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 8100,
) -> None:
    """Serve the page where approvers sign in (OpenID Connect), read the evidence and answer."""
    check_server()
    try:
        from saferollout_cli.page.serving import serve as serve_page
    except ModuleNotFoundError as error:
        raise _not_installed(error) from None
    serve_page(host, port)


def _not_installed(error: ModuleNotFoundError) -> Exception:
    from saferollout.domain.errors import ConfigError, Problem

    remedy = "install the page's libraries: `pip install 'saferollout[page]'`"
    return ConfigError(Problem("environment", "page", f"{error.name} is not installed", remedy))


async def _list() -> list["Waiting"]:
    from prefect import get_client

    from saferollout_cli.listing import list_waiting

    async with get_client() as client:
        return await list_waiting(client)


def _line(one: "Waiting") -> str:
    place = f"**{as_markdown(one.endpoint or one.name)}**" + (f" {one.share}%" if one.share else "")
    until = f", until {one.until.isoformat(timespec='minutes')}" if one.until else ""
    since = f"since {one.since.isoformat(timespec='minutes')}"
    return f"- {place} {since}{until}: {as_markdown(one.evidence)} {one.link}"
