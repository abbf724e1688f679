"""Adopting an endpoint that exists: `init` writes its files, `record` its users' requests."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from saferollout.config import project, yaml_file
from saferollout.config.names import check_endpoint
from saferollout.config.redaction import Redaction
from saferollout.domain.errors import ConfigError, Problem, Refused
from saferollout_cli import running
from saferollout_cli.terminal import print_result, show

Endpoint = Annotated[str, typer.Argument(help="The endpoint's name.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Write over files that exist.")]

COLLECTOR = """\
data_collector:
  collections:
    request: {enabled: "true"}
    response: {enabled: "true"}
  request_logging: {capture_headers: [x-ms-client-request-id]}
"""
"""What switches collection on; by that header, a rollout's own requests are told from users'."""
ONE_LINE = 'data_collector: {collections: {request: {enabled: "true"}, response: {enabled: "true"}}}'
_SINCE = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
FIRST = datetime(2000, 1, 1, tzinfo=UTC)


def init(
    endpoint: Endpoint,
    to: Annotated[Path, typer.Option(help="The folder to write them into.")] = Path(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the config and the Azure ML YAML of an endpoint that exists, as it is deployed; nothing is changed."""
    from saferollout.rollout import adopt

    check_endpoint("init", endpoint)
    paths = {name: to / name for name in (adopt.CONFIG, adopt.ENDPOINT, adopt.DEPLOYMENT)}
    _check_free(list(paths.values()), force=force)
    workspace = running.workspace_of(project.resolve_workspace(None), "init")
    adopted = adopt.adopt(workspace, endpoint)
    with _writable(to):
        to.mkdir(parents=True, exist_ok=True)
        for name, text in adopted.files.items():
            _write(paths[name], text.encode(), mode=0o644 if name != adopt.DEPLOYMENT else 0o600, force=force)
    shown = [yaml_file.display_path(path) for path in paths.values()]
    lines = [f"Wrote `{'`, `'.join(shown)}`: `{adopted.live}` of **{endpoint}** as it is live now."]
    lines += [f"NOT in them, as Azure ML YAML cannot say it: {each}." for each in adopted.left_out]
    here = f" --to {yaml_file.display_path(to / 'requests.jsonl')}" if to != Path() else ""
    collecting = "" if adopted.is_collecting else ", once it collects data, which it does not yet"
    lines.append(
        f"Next: `saferollout record {endpoint}{here}` makes recorded requests of users' own{collecting}; or put a "
        f"sample-request.json there. Then `saferollout run {shown[0]}` finds nothing to do until something changes."
    )
    result = {"outcome": "written", "files": shown, "live": adopted.live, "left_out": list(adopted.left_out)}
    print_result(result, "\n\n".join(lines), as_json=as_json)


def record(
    endpoint: Endpoint,
    to: Annotated[Path, typer.Option(help="The file to write.")] = Path("requests.jsonl"),
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="How many different requests at most.")] = 200,
    max_bytes: Annotated[int, typer.Option(min=1000, help="How many bytes at most, with all bodies.")] = 16 * 2**20,
    since: Annotated[str, typer.Option(help="How far back: minutes, hours or days, as 90m, 24h, 7d.")] = "24h",
    redact: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "What is not to be written: a JSON path to drop, such as customer.email, or module:function, which "
                "gets each body and returns what to record, or None. May be given several times."
            )
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make recorded requests of users' own, where the live deployment collects data; else say how to switch that on."""
    check_endpoint("record", endpoint)
    begin = _begin(since)
    redaction = Redaction(redact or [])
    _check_free([to], force=force)
    config = project.resolve_workspace(None)
    workspace = running.workspace_of(config, "record")
    from saferollout.azure.collection import open_collections
    from saferollout.gates import recording
    from saferollout.rollout.begin import baseline_of

    state = workspace.get_endpoint(endpoint)
    live = baseline_of(state).live
    collections = open_collections(config, endpoint, live)
    if "request" not in collections:
        raise _not_collected(endpoint, live, has_tables="model_inputs" in collections)
    recorded = recording.record(
        collections["request"],
        collections.get("response"),
        since=begin,
        size=sample,
        max_bytes=max_bytes,
        scored_at=urlsplit(state.scoring_uri).path,
        folder=to.stem,
        redaction=redaction,
    )
    if not recorded.lines:
        msg = f"no request to {live} of {endpoint} can be recorded: {recorded.summary}; look further back with --since"
        raise Refused(msg)
    with _writable(to.parent):
        for line in recorded.lines:
            if line.body_file:
                (to.parent / to.stem).mkdir(mode=0o700, parents=True, exist_ok=True)
                _write(to.parent / line.body_file, line.body, force=True)  # named by what is in it
        _write(to, "".join(f"{line.text}\n" for line in recorded.lines).encode(), force=force)
    shown = yaml_file.display_path(to)
    result = {"outcome": "recorded", "file": shown, "requests": len(recorded.lines), "left_out": recorded.left_out}
    print_result(
        result,
        f"Wrote `{shown}`: {recorded.summary}. It holds users' data, and only you can read it. Answers that are known "
        "to be true can be added, as `answer`.",
        as_json=as_json,
    )


def _not_collected(endpoint: str, live: str, *, has_tables: bool) -> Refused:
    """Say how requests come to be collected."""
    show(
        f"Deployment `{live}` of **{endpoint}** does not collect its requests. Add these lines to its YAML, which "
        f"`saferollout init {endpoint}` writes as deployment.yml:\n\n```yaml\n{COLLECTOR}```\n\nThen update it:\n\n"
        "```console\n$ az ml online-deployment update --file deployment.yml\n```\n"
    )
    tables = "; `model_inputs` has tables, not requests" if has_tables else ""
    remedy = f"add `{ONE_LINE}` to its Azure ML YAML and update it"
    return Refused(f"deployment {live} of {endpoint} has no collection `request` that is enabled{tables}; {remedy}")


def _begin(since: str) -> datetime:
    """The moment since which requests count.

    Raises:
        ConfigError: It is not a duration.
    """
    if not (match := _SINCE.fullmatch(since)) or not int(match[1]):
        remedy = "write minutes, hours or days, such as 90m, 24h or 7d"
        raise ConfigError(Problem("command line", "--since", f"{since[:30]!r} is not a duration", remedy))
    return max(FIRST, datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])}))


def _check_free(paths: list[Path], *, force: bool) -> None:
    """Check that nothing would be overwritten that nobody gave up.

    Raises:
        ConfigError: Files are there, all of which it names.
    """
    there = [] if force else [path for path in paths if os.path.lexists(path)]
    if there:
        remedy = "write into another folder with --to, or over it with --force"
        raise ConfigError(*(Problem(yaml_file.display_path(path), "", "exists already", remedy) for path in there))


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Say in one line why a file cannot be written.

    Raises:
        ConfigError: It cannot.
    """
    try:
        yield
    except OSError as error:
        path = Path(error.filename) if error.filename else folder
        problem = f"cannot be written: {error.strerror}"
        raise ConfigError(Problem(yaml_file.display_path(path), "", problem, "name another place with --to")) from None


def _write(path: Path, content: bytes, *, mode: int = 0o600, force: bool) -> None:
    """Write a file; without `force` one that has come meanwhile stays, with it the old one is replaced as a whole."""
    if not force:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        return
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
