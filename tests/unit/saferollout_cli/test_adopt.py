"""What `init` and `record` refuse before anything is called."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from saferollout.domain.errors import ConfigError
from saferollout_cli.commands import app


def refusal(*arguments: str) -> str:
    """The problems with which a command is refused."""
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, ConfigError), error
    return str(error)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("init", "-"), "init: endpoint: '-' is not a valid endpoint name"),
        (("record", "x y"), "record: endpoint: 'x y' is not a valid endpoint name"),
        (("record", "shop", "--since", "yesterday"), "--since: 'yesterday' is not a duration; write minutes, hours or"),
        (("record", "shop", "--since", "0h"), "--since: '0h' is not a duration"),
        (("record", "shop", "--redact", "nowhere:redact"), "--redact: the module of 'nowhere:redact' cannot be"),
        (("record", "shop"), "requests.jsonl: exists already; write into another folder with --to, or over it with"),
        (("init", "shop"), "endpoint.yml: exists already"),
        (("init", "shop"), "rollout.yaml: exists already"),
        (("record", "shop", "--to", "new.jsonl"), "AZURE_SUBSCRIPTION_ID is not set"),
    ],
)
def test_mistakes_are_refused(
    project_files: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], problem: str
) -> None:
    """With what would be right; nothing is written."""
    before = {path: path.stat().st_mtime_ns for path in project_files.rglob("*")}
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID")

    assert problem in refusal(*arguments)
    assert {path: path.stat().st_mtime_ns for path in project_files.rglob("*")} == before


def test_a_link_that_leads_nowhere_is_in_the_way_too(project_files: Path) -> None:
    """What is written must not land elsewhere."""
    (project_files / "new").mkdir()
    (project_files / "new" / "deployment.yml").symlink_to("/nowhere/at/all")

    assert "new/deployment.yml: exists already" in refusal("init", "shop", "--to", "new")
