"""Waiting for a submitted run at a real Prefect server: exit codes, and the report that the run has published."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from saferollout.domain.errors import AzureFailed, ConfigError, Refused
from saferollout_cli import wait as waiting
from saferollout_cli.commands import app
from tests.support.handoff import deployment, post
from tests.support.prefect import Server
from tests.support.stack import REPOSITORY

pytestmark = pytest.mark.xdist_group("handoff")  # one server

EXCEPTION = "Flow run encountered an exception: "
PLOT = "\n\n## judge at 10%\n\n![errors](data:image/svg+xml;base64,AAAA)\n\n<details>numbers</details>"


@pytest.fixture
def run(server: Server) -> str:
    """A run of the deployed rollout, which nobody takes up."""
    path = f"/deployments/{deployment(server)['id']}/create_flow_run"
    return str(post(server, path, {"parameters": {"config": "rollout"}})[1]["id"])


def end(server: Server, run: str, kind: str, message: str | None = None) -> None:
    """Set the run's state, as its process or the guard does."""
    state = {"type": kind, "name": kind.capitalize(), "message": message}
    assert post(server, f"/flow_runs/{run}/set_state", {"state": state, "force": True})[0] < 300


def wait(run: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The command's exit code, and what it prints."""
    done = CliRunner().invoke(app, ["wait", run, "--json", *options])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    printed: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, printed


@pytest.mark.parametrize(
    ("kind", "message", "code", "outcome"),
    [
        ("COMPLETED", None, 0, "promoted"),
        ("COMPLETED", "already requested by run x; nothing to do: ask with another id", 0, "nothing_to_do"),
        ("FAILED", "rolled back: judge at 10%: harmful", 1, "rolled_back"),
        ("CANCELLED", "rolled back: stopped", 1, "rolled_back"),
        ("CANCELLED", "superseded by run y", 1, "refused"),
        ("FAILED", f"{EXCEPTION}Taken: ann has it", 1, "refused"),
        ("FAILED", f"{EXCEPTION}ConfigError: event: model: no", 2, "invalid"),
        ("FAILED", "Validation of flow parameters failed with error: ParameterTypeError: no", 2, "invalid"),
        ("FAILED", f"{EXCEPTION}AzureFailed: status 500", 3, "failed"),
        ("FAILED", f"{EXCEPTION}NotRolledBack: NOT rolled back: no", 3, "failed"),
        ("FAILED", f"{EXCEPTION}NotRestored: NOT rolled back: no", 3, "failed"),
        ("FAILED", f"{EXCEPTION}KeyError: 'x'", 1, "refused"),
    ],
)
def test_it_ends_as_the_run_did(server: Server, run: str, kind: str, message: str, code: int, outcome: str) -> None:
    """Without a report of the run, what its state says is the report."""
    end(server, run, kind, message)
    found, printed = wait(run)
    assert (found, printed["outcome"], printed["flow_run"]) == (code, outcome, run)
    assert printed["reason"] == message or kind.capitalize()


def test_the_report_is_that_of_the_run(server: Server, run: str, tmp_path: Path) -> None:
    """Without its pictures, which a job summary cannot show; an unwritable place for it is a mistake."""
    artifact = {"key": "shop-report", "type": "markdown", "flow_run_id": run, "description": "green has all traffic"}
    assert post(server, "/artifacts/", artifact | {"data": f"# ✅ Promoted: shop\n\n## Steps{PLOT}"})[0] == 201
    end(server, run, "COMPLETED")
    code, printed = wait(run, "--report", str(tmp_path / "report.md"))
    assert (code, printed["reason"]) == (0, "green has all traffic")
    assert (tmp_path / "report.md").read_text() == "# ✅ Promoted: shop\n\n## Steps\n"
    with pytest.raises(ConfigError, match=r"--report: cannot write .* No such file or directory; name another file"):
        wait(run, "--report", str(tmp_path / "no" / "report.md"))


def test_a_run_that_is_not_over_is_waited_for(server: Server, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crashed one, too, for a while: the guard has it begin again."""
    end(server, run, "CRASHED")
    with pytest.raises(AzureFailed, match=r"has not ended within 1 s \(Crashed\); it goes on"):
        wait(run, "--timeout-s", "1")
    with monkeypatch.context() as patch:
        patch.setattr(waiting, "LOST_S", 0)
        assert wait(run)[0] == 3
    with pytest.raises(Refused, match="there is no flow run 00000000-0000-0000-0000-000000000001"):
        wait("00000000-0000-0000-0000-000000000001")

    program = [str(Path(sys.executable).parent / "saferollout"), "wait", run]
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(subprocess.run, program, env=server.env, cwd=REPOSITORY, capture_output=True, text=True)
        end(server, run, "RUNNING")
        end(server, run, "FAILED", "rolled back: harm")
    assert (done.result().returncode, "rolled back: harm" in done.result().stdout) == (1, True)
