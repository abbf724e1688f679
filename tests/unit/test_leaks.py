"""The search for secrets at the end of the tests finds what it is for."""

import base64
import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from saferollout.approvals.keys import KEY
from tests.support import leaks
from tests.support.signing import make_pem

PEM = make_pem()
NOTED, AZURES = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "a-key-of-an-endpoint"
TOKEN = ".".join(base64.urlsafe_b64encode(part * 9).decode().rstrip("=") for part in (b'{"alg"', b'{"sub"', b"signed"))


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """What a stack has left that keeps its secrets, and the environment of its processes."""
    stack, azure = tmp_path / "stack", tmp_path / "azure"
    (stack / "prefect").mkdir(parents=True)
    azure.mkdir()
    made = leaks.traps(stack) | {KEY: PEM} | {name: f"azure's own {name}" for name in leaks.AZURES}
    leaks.note(stack, NOTED)
    leaks.note(stack, AZURES, is_azures=True)
    (stack / "known.json").write_text(json.dumps(made))
    (stack / "worker.log").write_text("nothing to see\n")
    (azure / "state.json").write_text(f'{{"key": "{AZURES}"}}')
    row(stack, "nothing")
    return made


def row(stack: Path, value: str) -> None:
    """Write a row into Prefect's database."""
    with contextlib.closing(sqlite3.connect(stack / "prefect" / "prefect.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS flow_run_input (value TEXT)")
        connection.execute("INSERT INTO flow_run_input VALUES (?)", (value,))


def test_a_stack_that_keeps_its_secrets_passes(tmp_path: Path, env: dict[str, str]) -> None:
    """The tests' own notes are no leak, nor is what Azure itself keeps."""
    leaks.check(tmp_path / "stack", tmp_path / "azure", env)


Plant = Callable[[Path, dict[str, str]], object]
PLANTS: dict[str, Plant] = {
    "a secret in a row": lambda at, _: row(at / "stack", f'{{"secret": "{NOTED}"}}'),
    "a code in a row": lambda at, _: row(at / "stack", json.dumps({"decision": "approve", "code": "123456"})),
    "a key in a log": lambda at, _: (at / "stack" / "worker.log").write_text(PEM.splitlines()[1]),
    "another key": lambda at, _: (at / "stack" / "tmp" / "a.log").write_text(make_pem()),
    "an endpoint's key in a result": lambda at, _: (at / "stack" / "prefect" / "result").write_text(AZURES),
    "Prefect's password": lambda at, env: (at / "stack" / "worker.log").write_text(env[leaks.AUTH]),
    "the same as it is sent": lambda at, env: (at / "stack" / "worker.log").write_bytes(
        base64.b64encode(env[leaks.AUTH].encode())
    ),
    "a token": lambda at, _: (at / "stack" / "messages.log").write_text(f'{{"text": "{TOKEN}"}}'),
    "a header": lambda at, _: (at / "stack" / "worker.log").write_text(f"Authorization: Bearer {'x' * 43}"),
    "a signed address": lambda at, _: row(at / "stack", f"http://blobs/c?se=1&sig={'x' * 43}"),
    "a secret in a tag": lambda at, _: (at / "azure" / "state.json").write_text(f'{{"tags": "{NOTED}"}}'),
    "an endpoint's key in Azure's log": lambda at, _: (at / "azure" / "localazure.log").write_text(AZURES),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_what_leaks_is_found(tmp_path: Path, env: dict[str, str], plant: str) -> None:
    """Wherever it is; what is said of it does not leak it once more."""
    PLANTS[plant](tmp_path, env)
    with pytest.raises(AssertionError, match="secrets have leaked") as found:
        leaks.check(tmp_path / "stack", tmp_path / "azure", env)
    for secret in (NOTED, AZURES, TOKEN, env[leaks.AUTH], "123456"):
        assert secret not in str(found.value)
