"""The command line: `localazure up` serves, `localazure env` prints the variables of one that serves."""

import asyncio
import gc
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn
from urllib.parse import urlsplit

import tenacity
import typer

from localazure.arm.errors import NotRunning, StartFailed
from localazure.arm.installation import running_environment
from localazure.arm.limits import Limits
from localazure.core.clock import Timing
from localazure.core.directories import NoHome, state_directory
from localazure.core.host import LOOPBACK, Host
from localazure.resources.quota import Quota

app = typer.Typer(
    help="Azure Machine Learning online endpoints on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a framed message is wrapped, and then no script finds it
)

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", help="Where everything is kept. [default: $XDG_STATE_HOME/localazure]", file_okay=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on one line, not export lines.")]
HostOption = Annotated[
    str,
    typer.Option("--host", help="The address, or name of one, to listen on and to be reached at.", show_default=True),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Management port; 0 lets the OS choose.")]

IngestionDelay = Annotated[
    float,
    typer.Option("--ingestion-delay-s", min=0, help="Seconds until a request shows in metrics and logs."),
]
TimingOption = Annotated[
    Timing,
    typer.Option(
        "--timing",
        help="How long changes take. azure: as long as on Azure; fast: no longer than they must; instant: likewise, and"
        " clients look again at once.",
    ),
]
TimeScale = Annotated[
    float, typer.Option("--time-scale", min=0.001, help="Divides the durations of --timing azure.", show_default=True)
]
Record = Annotated[
    Path | None,
    typer.Option("--record", help="Append every management request and answer, without secrets.", dir_okay=False),
]
QuotaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--quota",
        help="NAME=N: deployments, instances, cores, connections; requests, bandwidth (MB) per second."
        " Can be repeated.",
    ),
]
Wait = Annotated[
    float, typer.Option("--wait-s", min=0, help="Seconds to wait for one that is starting.", show_default=True)
]

POLL_S = 0.1


RateLimit = Annotated[
    list[str] | None,
    typer.Option(
        "--rate-limit",
        help="NAME=SIZE or NAME=SIZE/SECONDS: reads, writes, deletes, their global- ones, deployments;"
        " SECONDS is the time in which an empty bucket fills. Can be repeated.",
    ),
]


DatastoreAuth = Annotated[
    Literal["accesskey", "identity"],
    typer.Option(
        "--datastore-auth",
        help="Whether clients get a signature for uploads, or must sign in at the storage account themselves.",
    ),
]

Strict = Annotated[
    bool,
    typer.Option("--strict", help="Refuse read-only properties that differ from what is held, and do not drop them."),
]


@app.command()
def up(
    state_dir: StateDir = None,
    host: HostOption = LOOPBACK,
    port: Port = 0,
    json_: Json = False,
    ingestion_delay_s: IngestionDelay = 0,
    timing: TimingOption = Timing.FAST,
    time_scale: TimeScale = 1,
    record: Record = None,
    quota: QuotaOption = None,
    rate_limit: RateLimit = None,
    datastore_auth: DatastoreAuth = "accesskey",
    strict: Strict = False,
) -> None:
    """Serve until SIGTERM or SIGINT; print the variables to export once everything is ready."""
    gc.disable()  # what is imported is kept: to look for garbage in it would take a fifth of the start
    from localazure import server  # most of the start, which `env` does without

    gc.freeze()
    gc.enable()
    state = _state(state_dir)
    try:
        options = server.Options(
            Host.named(host),
            port,
            ingestion_delay_s,
            timing,
            time_scale,
            record,
            Quota.parse(quota or []),
            Limits.parse(rate_limit or []),
            datastore_auth == "identity",
            strict,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    os.umask(0o077)  # whatever is written has keys, models or requests of somebody
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _log_to(state / server.LOG_FILE)
        asyncio.run(server.serve(state, options, lambda environment: _print(environment, json_)))
    except (StartFailed, OSError) as error:
        _fail(str(error))


@app.command()
def env(state_dir: StateDir = None, json_: Json = False, wait_s: Wait = 0) -> None:
    """Print the variables to export for a local Azure that is running."""
    state = _state(state_dir)
    look = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(NotRunning),
        wait=tenacity.wait_fixed(POLL_S),
        stop=tenacity.stop_after_delay(wait_s),
        reraise=True,
    )
    try:
        _print(look(running_environment, state), json_)
    except NotRunning as error:
        _fail(str(error))


def _state(chosen: Path | None) -> Path:
    try:
        return (chosen or state_directory()).absolute()
    except NoHome as error:
        _fail(str(error))


def _print(environment: dict[str, str], as_json: bool) -> None:
    environment = environment | _beside_proxies(environment["AZURE_AUTHORITY_HOST"])
    if as_json:
        print(json.dumps(environment), flush=True)
    else:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items()), flush=True)


def _beside_proxies(url: str) -> dict[str, str]:
    """What lets clients reach the address without a proxy, and whatever else was to be reached so before."""
    host = urlsplit(url).hostname or ""
    said = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    hosts = [name for name in said if name]
    if "*" not in hosts and host not in hosts:
        hosts.append(host)
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))  # clients differ in which of them they read first


def _log_to(path: Path) -> None:
    to_file = logging.FileHandler(path)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setLevel(logging.WARNING)
    to_stderr.setFormatter(logging.Formatter("localazure: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_stderr])
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _fail(message: str) -> NoReturn:
    print(f"localazure: {message}", file=sys.stderr)
    raise typer.Exit(1)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
