"""The certified OpenID provider of npm, as a process, and the approvals page that people sign in to there."""

import json
import re
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
    issued: Path
    """A line for each token and device code that the provider has given out."""
    env: dict[str, str]
    """Of the page."""


@contextmanager
def site(directory: Path, env: dict[str, str], key: str) -> Iterator[Site]:
    """Run provider and page while the block lasts; `env` leads to Prefect, `key` is the page's."""
    url = f"http://127.0.0.1:{free_port()}"
    node, program = install(REPOSITORY / "tests/support/oidc", directory)
    issued = directory / "issued"
    issued.touch()
    command = [node, str(program / "provider.js"), f"{url}/signed-in", SECRET, json.dumps(PEOPLE), str(issued)]
    with Process("provider", command, env, directory, REPOSITORY, pipe=True) as provider:
        issuer = provider.first_line(START_S).strip()
        settings = {
            "SAFEROLLOUT_OIDC_ISSUER": issuer,
            "SAFEROLLOUT_OIDC_CLIENT_ID": "approvals",
            "SAFEROLLOUT_OIDC_CLIENT_SECRET": SECRET,
            "SAFEROLLOUT_OIDC_DEVICE_CLIENT_ID": "approvals",
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
            yield Site(url, issuer, page.log, issued, env | settings)


def enter_code(address: str, code: str, login: str, *, is_refused: bool = False) -> None:
    """Do what a person does in a browser with the code of another device: enter it, confirm it, and sign in."""
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        shown = _submit(browser, browser.get(address), user_code=code)
        shown = _submit(browser, shown, **({"abort": "yes"} if is_refused else {}))
        if not is_refused:
            shown = _submit(browser, shown, login=login, password="any")  # noqa: S106  # any is right
            assert "Sign-in Success" in shown.text, shown.text


def _submit(browser: httpx.Client, shown: httpx.Response, **fields: str) -> httpx.Response:
    """Send the form on a page, with what is hidden in it."""
    action = re.search(r'<form[^>]* action="([^"]+)"', shown.text)
    assert action, shown.text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', shown.text))
    answered = browser.post(action[1], data=hidden | fields)
    answered.raise_for_status()
    return answered


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/style.css", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
