"""What the page needs to know, from its environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from saferollout.approvals.keys import PAGE_KEY, PAGE_KEY_FILE, REMEDY, Keyring, from_environment
from saferollout.approvals.signed_answer import PAGE_URL
from saferollout.domain.errors import ConfigError, Problem

ISSUER = "SAFEROLLOUT_OIDC_ISSUER"
CLIENT_ID = "SAFEROLLOUT_OIDC_CLIENT_ID"
CLIENT_SECRET = "SAFEROLLOUT_OIDC_CLIENT_SECRET"  # noqa: S105  # a variable's name
DEVICE_CLIENT_ID = "SAFEROLLOUT_OIDC_DEVICE_CLIENT_ID"
SCOPE = "SAFEROLLOUT_OIDC_SCOPE"
NAME_CLAIM = "SAFEROLLOUT_OIDC_NAME_CLAIM"
APPROVERS = "SAFEROLLOUT_PAGE_APPROVERS"
MAX_AGE = "SAFEROLLOUT_PAGE_MAX_AGE"
T = TypeVar("T")
LOOPBACK = ("127.0.0.1", "localhost")
NEEDED = {
    ISSUER: "set it to the provider's issuer, as https://login.microsoftonline.com/<tenant>/v2.0",
    CLIENT_ID: "set it to the id under which the page is registered at the provider",
    APPROVERS: "list who may use the page: names, `group:<name>`, `role:<name>`; or * for all who can sign in",
}


@dataclass(frozen=True)
class Settings:
    """How the page signs people in, who may use it, and with what it signs their answers."""

    issuer: str
    client_id: str
    client_secret: str
    scope: str
    name_claim: str
    """The claim that names an approver as the rollouts' configs list them."""
    approvers: tuple[str, ...]
    keys: Keyring
    url: str
    """The page's own address, as browsers see it, without a slash at the end."""
    max_age_s: int
    """How old a sign-in may be when an answer is given."""
    device_client_id: str = ""
    """Under which people sign in who answer on a command line; empty where nobody may."""

    @property
    def host(self) -> str:
        """The host that browsers name."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the page by TLS."""
        return self.url.startswith("https://")

    @classmethod
    def read(cls, environment: Mapping[str, str], default_url: str) -> "Settings":
        """Read the settings; `default_url` is where the page listens.

        Raises:
            ConfigError: Some are missing or wrong; all of them are named.
        """
        problems = [
            Problem("environment", name, "is not set", remedy)
            for name, remedy in NEEDED.items()
            if not environment.get(name)
        ]
        url = (environment.get(PAGE_URL) or default_url).rstrip("/")
        if urlsplit(url).path and not address_problem(url):
            problem = f"{url} has a path, and the page's own begin at the top"
            problems.append(Problem("environment", PAGE_URL, problem, "give the page a host name of its own"))
        for name, value in ((ISSUER, environment.get(ISSUER, "")), (PAGE_URL, url)):
            if value and (problem := address_problem(value)):
                problems.append(Problem("environment", name, f"{value} {problem}", "write it as https://<host>"))
        secret = _noted(problems, lambda: _secret(environment))
        keys = _noted(problems, lambda: from_environment(environment, PAGE_KEY))
        if not (keys and keys.signs) and not any(found.key in (PAGE_KEY, PAGE_KEY_FILE) for found in problems):
            problem = f"is not set, nor is {PAGE_KEY_FILE}, or it holds public keys only"
            problems.append(Problem("environment", PAGE_KEY, problem, REMEDY))
        if not (max_age := environment.get(MAX_AGE, "300")).isdecimal() or not 30 <= int(max_age) <= 3600:
            problem = f"{max_age!r} is not a number of seconds from 30 to 3600"
            problems.append(Problem("environment", MAX_AGE, problem, "leave it out for 300"))
        if problems or keys is None or secret is None:
            raise ConfigError(*problems)
        return cls(
            issuer=environment[ISSUER],
            client_id=environment[CLIENT_ID],
            client_secret=secret,
            scope=environment.get(SCOPE) or "openid email profile",
            name_claim=environment.get(NAME_CLAIM) or "email",
            approvers=tuple(filter(None, (one.strip() for one in environment[APPROVERS].split(",")))),
            keys=keys,
            url=url,
            max_age_s=int(max_age),
            device_client_id=environment.get(DEVICE_CLIENT_ID, ""),
        )


def _noted(problems: list[Problem], read: Callable[[], T]) -> T | None:
    """What `read` returns; None if it is wrong, which is added to the problems."""
    try:
        return read()
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def address_problem(address: str) -> str:
    """What is wrong with an address that secrets go to; empty if nothing is."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return "is not an address"
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        return "is not an address"
    if parts.scheme == "http" and host not in LOOPBACK:
        return "is not protected by TLS"
    return ""


def _secret(environment: Mapping[str, str]) -> str:
    if text := environment.get(CLIENT_SECRET):
        return text
    if not (name := environment.get(f"{CLIENT_SECRET}_FILE")):
        problem = f"is not set, nor is {CLIENT_SECRET}_FILE"
        raise ConfigError(
            Problem("environment", CLIENT_SECRET, problem, "the provider shows it when the page is registered")
        )
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text file"
        problem = f"{name} cannot be read: {why}"
        raise ConfigError(
            Problem("environment", f"{CLIENT_SECRET}_FILE", problem, "name a file that holds the secret alone")
        ) from None
