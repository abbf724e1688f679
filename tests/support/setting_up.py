"""What tests of the set-up do with a Prefect server."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.stack import REPOSITORY, Stack, wait_for

LATER = {
    "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": str(datetime.now(UTC) + timedelta(days=9))}}
}
PLAIN = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"properties": {"command": {"type": "string"}}},
}


def setup(stack: Stack, *options: str, code: int = 0) -> dict[str, Any]:
    """Run the command; return what it says."""
    command = stack.command("setup", "--json", *options)
    done = subprocess.run(command, env=stack.env, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def setup_fails(stack: Stack, *options: str) -> str:
    """Run the command with options that are wrong; return what it says."""
    done = subprocess.run(
        stack.command("setup", *options), env=stack.env, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def found(said: dict[str, Any]) -> list[str]:
    """What was missing or different, a line each."""
    return [f"{difference['what']} {difference['problem']}" for difference in said["differences"]]


def server_shows(stack: Stack) -> list[Any]:
    """All that a setup could change, with the moments at which it was changed."""
    shown = [stack.api("POST", f"/{kind}/filter", json={}) for kind in ("work_pools", "deployments", "automations")]
    for pool in shown[0]:
        del pool["status"]
    return shown


def deployment(stack: Stack, name: str) -> dict[str, Any]:
    """A deployment as the server shows it."""
    shown: dict[str, Any] = stack.api("GET", f"/deployments/name/{name}/{name}")
    return shown


def request(stack: Stack, method: str, path: str, body: Any = None) -> int:
    """Call the API, and return the status; SQLite's passing 503 is asked again."""

    def call() -> int | None:
        status = httpx.request(method, f"{stack.env['PREFECT_API_URL']}{path}", json=body, timeout=30).status_code
        return None if status == 503 else status

    return wait_for(f"{method} {path}", call)
