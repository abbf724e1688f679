"""Secrets that tests have in play, and the search for them in all that a stack has left, when its last test is over.

Each secret is noted when it is made; what looks like one is found without that, too.
"""

import base64
import contextlib
import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from saferollout.approvals.keys import KEY
from tests.support.webhook import SECRET as WEBHOOK

NOTED = "secrets-in-play"
"""Their file in the stack's folder, a secret a line, as JSON; Azure's own are apart: Azure keeps them."""
KEPT = (NOTED, "known.json")
"""Files of the tests' own, which hold secrets on purpose."""
AUTH = "PREFECT_API_AUTH_STRING"
AZURES = ("AZURE_CLIENT_SECRET", "LOCALAZURE_ADMIN_TOKEN", "IDENTITY_HEADER")
LOOKS = {
    "a private key": re.compile(rb"MC4CAQAwBQYDK2VwBCIEI|BEGIN [A-Z ]*PRIVATE KEY"),
    "a token": re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a bearer": re.compile(rb"[Bb]earer [\w.~+/-]{20,}"),
    "a signed address": re.compile(rb"[?&]sig=[\w%+/=-]{20,}"),
    "a code": re.compile(rb'"code\\?": ?\\?"\d{6}\\?"'),
}


def traps(directory: Path) -> dict[str, str]:
    """What every process of the stack gets: a password that must be seen nowhere, and where its own logs are found."""
    (directory / "tmp").mkdir()
    return {AUTH: f"prefect:{secrets.token_urlsafe(24)}", "TMPDIR": str(directory / "tmp")}


def note(directory: Path, *found: str, is_azures: bool = False) -> None:
    """Remember secrets: whatever is left of a stack in this folder must not have them."""
    lines = "".join(f"{json.dumps([secret, is_azures])}\n" for secret in found)
    with (directory / NOTED).open("a", encoding="utf-8") as file:
        file.write(lines)  # one write: several processes append


def check(directory: Path, azure: Path, env: Mapping[str, str]) -> None:
    """Fail if a secret is in the database, the results, the logs or the messages of a stack, or in what Azure keeps.

    Args:
        directory: The stack's folder.
        azure: Local Azure's folder.
        env: The environment of the stack's processes, whose secrets count, too.
    """
    note(directory, WEBHOOK, env[AUTH], base64.b64encode(env[AUTH].encode()).decode(), env[KEY].splitlines()[1])
    note(directory, *(env[name] for name in AZURES), is_azures=True)
    found = [
        *_leaks(_left(directory), _noted(directory, with_azures=True), LOOKS),
        *_leaks(_files(azure, "*.log"), _noted(directory, with_azures=True), {}),
        *_leaks(_files(azure, "*"), _noted(directory, with_azures=False), {}),
    ]
    assert not found, "secrets have leaked:\n" + "\n".join(found)


def _noted(directory: Path, *, with_azures: bool) -> set[bytes]:
    lines = map(json.loads, (directory / NOTED).read_text(encoding="utf-8").splitlines())
    return {secret.encode() for secret, is_azures in lines if with_azures or not is_azures}


def _left(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Each table's rows and each file, with their names."""
    database = directory / "prefect" / "prefect.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            rows = connection.execute(f'SELECT * FROM "{name}"')  # noqa: S608  # its own names
            yield f"table {name}", "\n".join(map(str, rows)).encode()
    for name, content in _files(directory, "*"):
        if not name.startswith("prefect.db") and name not in KEPT:
            yield name, content


def _files(directory: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob(pattern)):
        if path.is_file():
            yield path.name, path.read_bytes()


def _leaks(
    places: Iterable[tuple[str, bytes]], noted: set[bytes], looks: Mapping[str, re.Pattern[bytes]]
) -> Iterator[str]:
    """What was found where, with a little of what stands before it: never the secret itself."""
    for name, content in places:
        for secret in noted:
            if (at := content.find(secret)) >= 0:
                yield f"{name}: a secret of {len(secret)} characters after {content[max(0, at - 80) : at]!r}"
        for what, look in looks.items():
            if seen := look.search(content):
                yield f"{name}: {what} after {content[max(0, seen.start() - 80) : seen.start()]!r}"
