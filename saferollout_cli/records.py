"""The commands that read what is recorded of rollouts: history, attest, verify."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from saferollout.approvals.attestation import open_sealed
from saferollout.approvals.history import Entry, problems
from saferollout.approvals.keys import KEY, KEY_FILE, REMEDY, Keyring, from_environment
from saferollout.domain.errors import ConfigError, Problem, Refused
from saferollout.domain.text import as_markdown
from saferollout.domain.words import clock
from saferollout_cli.environment import check_server
from saferollout_cli.terminal import print_result, say

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
PublicKey = Annotated[
    Path | None,
    typer.Option("--key", help=f"A file of keys in PEM, public ones suffice; default: {KEY} or {KEY_FILE}."),
]


def history(
    endpoint: Annotated[str | None, typer.Argument(help="The endpoint's name; default: all.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no entry was changed, removed or moved.")
    ] = False,
    key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """List who decided what on which evidence, and what became of each rollout."""
    check_server()
    found, broken = asyncio.run(_histories(endpoint, key))
    entries = [entry for listed in found.values() for entry in listed]
    result: dict[str, Any] = {"outcome": "listed", "entries": [entry.model_dump(mode="json") for entry in entries]}
    text = "\n".join(map(_line, entries)) or "There is no entry."
    if verify:
        result |= {"outcome": "broken" if broken else "verified", "problems": broken}
        text += (
            f"\n\n{len(broken)} problems." if broken else f"\n\nVerified: {len(entries)} entries, none of them changed."
        )
        for problem in broken:
            say(f"error: {problem}")
    print_result(result, text, as_json=as_json)
    sys.exit(1 if verify and broken else 0)


async def _histories(endpoint: str | None, key: Path | None) -> tuple[dict[str, list[Entry]], list[str]]:
    from tasks.support import history
    from tasks.support.keys import load_keys

    keys = _keys_of(key) if key else await load_keys()
    if not keys:
        say("no key is configured: signatures are not checked, and a history that was rewritten whole is not noticed")
    found: dict[str, list[Entry]] = {}
    broken: list[str] = []
    for name in [endpoint] if endpoint else await history.endpoints():
        found[name], head = await history.read_history(name)
        broken += [f"{name}: {problem}" for problem in problems(found[name], head, keys)]
    return found, broken


def attest(
    run: Annotated[UUID, typer.Argument(help="The flow run's id.", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="The file to write; default: attestation-RUN.json.")] = None,
    as_json: Json = False,
) -> None:
    """Write the signed statement of what a run rolled out, what it passed and who decided."""
    check_server()
    from tasks.support.attestation import read_attestation

    if (text := asyncio.run(read_attestation(run))) is None:
        msg = (
            f"flow run {run} has left no attestation: it has not ended, or its worker has no signing key ({KEY}) or "
            "could not reach Prefect"
        )
        raise Refused(msg)
    path = output or Path(f"attestation-{run}.json")
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror}"
        raise ConfigError(Problem("command line", "--output", problem, "name a file that can be written")) from None
    print_result(
        {"outcome": "attested", "file": str(path)},
        f"Written to `{path}`; `saferollout verify {path}` checks it.",
        as_json=as_json,
    )


def verify(
    file: Annotated[Path, typer.Argument(help="What `saferollout attest` has written.", show_default=False)],
    key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Check a statement that `attest` has written; nothing is called."""
    import os

    keys = _keys_of(key) if key else from_environment(os.environ)
    if not keys:
        problem = "there is no key to check the signature with"
        raise ConfigError(Problem("command line", "--key", problem, f"name a file of public keys, or set {KEY_FILE}"))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        problem = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"
        raise ConfigError(Problem(str(file), "", f"cannot be read: {problem}", "name another file")) from None
    statement, signer = open_sealed(text, keys)
    said = statement["predicate"]
    print_result(
        {"outcome": "verified", "key": signer, "statement": statement},
        f"**Verified**: {said['outcome']} of {said['candidate']['model'] or said['candidate']['revision']} on "
        f"{said['endpoint']} (rollout {said['rollout']}), signed by key `{signer}`.",
        as_json=as_json,
    )


def _keys_of(path: Path) -> Keyring:
    try:
        return Keyring.read(path.read_text(encoding="ascii"), str(path))
    except (OSError, ValueError) as error:
        problem = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not a file of keys in PEM"
        raise ConfigError(Problem(str(path), "", problem, REMEDY)) from None


def _line(entry: Entry) -> str:
    """An entry as an item of a list in markdown: a table of so much would not fit into a terminal."""
    event, decision = entry.event, entry.event.decision
    where = as_markdown(f"{event.endpoint}, rollout {event.rollout}")
    head = f"- #{entry.number} · {clock(event.at)} · {where}:"
    if event.kind == "change":
        return f"{head} **changed**: {as_markdown(event.reason)}"
    if decision is None:
        return f"{head} {as_markdown(event.reason)}"
    proof = "self-declared" if decision.proof == "none" else decision.proof
    what = f"**{decision.decision} {decision.share}%** by {as_markdown(decision.approver)} ({proof})"
    if event.kind == "refusal":
        return f"{head} refused: {what}, since {as_markdown(event.reason)}"
    why = f": {as_markdown(decision.comment)}" if decision.comment else ""
    return f"{head} {what} on evidence {as_markdown(decision.evidence)}{why}"
