"""Where a worker gets the flows from before each run: a folder, its own environment, or a git repository."""

import re
from typing import Any
from urllib.parse import urlsplit

from saferollout.domain.errors import ConfigError, Problem

FOLDER = "folder"
NONE = "none"
OPTION = "--pull"
SCHEMES = {"https", "http", "ssh", "git", "file"}


def with_pull(content: dict[str, Any], pull: str) -> dict[str, Any]:
    """The content of a `prefect.yaml` whose flows are got in this way.

    Args:
        content: What the file says: `pull` sets the working directory.
        pull: `folder`: as it says. `none`: the flows are installed where the worker runs. Else the address of a git
            repository, which each run clones, and behind a `#` the branch.

    Raises:
        ConfigError: It is none of these, or has a password in it.
    """
    if pull == FOLDER:
        return content
    if pull == NONE:
        return content | {"pull": []}
    address, _, branch = pull.partition("#")
    _check(address)
    step = {"repository": address} | ({"branch": branch} if branch else {})
    return content | {"pull": [{"prefect.deployments.steps.git_clone": step}]}


def _check(address: str) -> None:
    is_scp = re.match(r"[\w.-]+@[\w.-]+:", address)  # git@example.com:team/rollouts.git
    try:
        url = urlsplit(address)
    except ValueError:
        url = urlsplit("")
    if url.password or (url.username and url.scheme.startswith("http")):
        problem = "has a user or a password in it, which the server would store and show"
        remedy = "leave it out, and give the worker's git a credential helper or an SSH key"
    elif is_scp or url.scheme in SCHEMES:
        return
    else:
        problem = f"is neither {FOLDER!r} nor {NONE!r} nor the address of a git repository"
        remedy = "write, for example, https://example.com/team/rollouts.git#main"
    raise ConfigError(Problem("command line", OPTION, problem, remedy))
