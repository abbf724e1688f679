"""Where a worker gets the flows from: what is put on the server for it, and what is refused."""

import pytest

from saferollout.domain.errors import ConfigError
from saferollout_cli.pull import with_pull

CONTENT = {"name": "saferollout", "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "/srv"}}]}


def clone(**step: str) -> list[dict[str, dict[str, str]]]:
    """The pull steps of a repository."""
    return [{"prefect.deployments.steps.git_clone": step}]


@pytest.mark.parametrize(
    ("pull", "steps"),
    [
        ("folder", CONTENT["pull"]),
        ("none", []),
        ("https://example.com/team/rollouts.git", clone(repository="https://example.com/team/rollouts.git")),
        ("file:///srv/rollouts.git#main", clone(repository="file:///srv/rollouts.git", branch="main")),
        ("git@example.com:team/rollouts.git#v2", clone(repository="git@example.com:team/rollouts.git", branch="v2")),
        ("ssh://git@example.com/rollouts.git", clone(repository="ssh://git@example.com/rollouts.git")),
    ],
)
def test_the_steps_before_a_run(pull: str, steps: object) -> None:
    """A folder as the file says, nothing, or a clone, perhaps of a branch; all else of the file stays."""
    assert with_pull(CONTENT, pull) == CONTENT | {"pull": steps}


@pytest.mark.parametrize(
    ("pull", "problem"),
    [
        ("https://ada:hunter2@example.com/rollouts.git", "which the server would store and show"),
        ("https://ghp_abc@example.com/rollouts.git", "which the server would store and show"),
        ("ssh://git:hunter2@example.com/rollouts.git", "which the server would store and show"),
        ("ext::sh -c touch% mine", "is neither 'folder' nor 'none' nor the address of a git repository"),
        ("--upload-pack=touch", "is neither"),
        ("../rollouts", "is neither"),
        ("http://[", "is neither"),
        ("", "is neither"),
    ],
)
def test_what_is_no_place_is_refused(pull: str, problem: str) -> None:
    """No password gets on the server, and no address that git takes for a command."""
    with pytest.raises(ConfigError, match=problem) as raised:
        with_pull(CONTENT, pull)
    assert "hunter2" not in str(raised.value)
    assert "ghp_abc" not in str(raised.value)
