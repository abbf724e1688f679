"""The certified OpenID provider of npm, as a process, and the approvals page that people sign in to there."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from saferollout.approvals.keys import PAGE_KEY
from saferollout.approvals.signed_answer import PAGE_URL
from saferollout_cli.demo.processes import START_S, Process, free_port
from tests.support.node import install
from tests.support.stack import REPOSITORY

SECRET = "the page's secret at the provider"  # noqa: S105  # of the tests' own provider
PEOPLE = {
    "ada": {"email": "ada@example.org", "email_verified": True, "name": "Ada Lovelace", "groups": ["ml-approvers"]},
    "bob": {"email": "bob@example.org", "email_verified": True, "name": "Bob", "groups": ["readers"]},
    "mallory": {"email": "mallory@example.org", "email_verified": True, "name": "Mallory", "groups": ["guests"]},
    "eve": {"email": "ada@example.org", "email_verified": False, "name": "Ada Lovelace", "groups": ["ml-approvers"]},
}
"""Who can sign in, any password being right; Eve claims an e-mail address that nobody has verified."""


@dataclass(frozen=True)
class Site:
    """The page that runs, and where people sign in."""

    url: str
    issuer: str
    log: Path


@contextmanager
def site(directory: Path, env: dict[str, str], key: str) -> Iterator[Site]:
    """Run provider and page while the block lasts; `env` leads to Prefect, `key` is the page's."""
    url = f"http://127.0.0.1:{free_port()}"
    node, program = install(REPOSITORY / "tests/support/oidc", directory)
    command = [node, str(program / "provider.js"), f"{url}/signed-in", SECRET, json.dumps(PEOPLE)]
    with Process("provider", command, env, directory, REPOSITORY, pipe=True) as provider:
        issuer = provider.first_line(START_S).strip()
        settings = {
            "SAFEROLLOUT_OIDC_ISSUER": issuer,
            "SAFEROLLOUT_OIDC_CLIENT_ID": "approvals",
            "SAFEROLLOUT_OIDC_CLIENT_SECRET": SECRET,
            "SAFEROLLOUT_PAGE_APPROVERS": "group:ml-approvers, bob@example.org",
            PAGE_KEY: key,
            PAGE_URL: url,
        }
        run = [
            "-c",
            "import saferollout_cli; saferollout_cli.main()",
            "approvals",
            "serve",
            "--port",
            url.split(":")[2],
        ]
        with Process("page", [sys.executable, *run], env | settings, directory, REPOSITORY) as page:
            page.wait_until(lambda: _answers(url), START_S)
            yield Site(url, issuer, page.log)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/style.css", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
