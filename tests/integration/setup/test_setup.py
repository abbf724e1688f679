"""`saferollout setup` on a real Prefect server: what is missing or different is listed, put right, then left alone."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from saferollout_cli.demo.processes import free_port
from saferollout_cli.setup import SetupFailed, set_up
from tests.support.setting_up import LATER, PLAIN, deployment, found, request, server_shows, setup
from tests.support.stack import REPOSITORY, Stack, started, wait_for

pytestmark = pytest.mark.xdist_group("setup")  # one server
FLOWS = ["rollout", "bootstrap", "rollback", "control", "guard", "retire", "watch-models"]
ENDS_AND_HANGS = """
import asyncio, sys
from pathlib import Path
from prefect import flow

@flow(flow_run_name="{name}")
async def rollout(name):
    while not Path(sys.argv[1], name).exists():
        await asyncio.sleep(0.1)

asyncio.run(rollout("ends"))
asyncio.run(rollout("hangs"))
"""


def setup_in_pool_of_another_type(stack: Stack) -> dict[str, Any]:
    """What setup says where somebody has made a work pool of that name for containers."""
    stack.api("POST", "/work_pools/", json={"name": "rollouts", "type": "docker"})
    said = setup(stack, code=1)
    request(stack, "DELETE", "/work_pools/rollouts")
    return said


def test_a_fresh_server_gets_all_of_it_once(stack: Stack) -> None:
    """All that is missing is listed and nothing done; then it is put there; then there is nothing to do."""
    refused = setup_in_pool_of_another_type(stack)
    assert "of type docker" in refused["reason"]
    assert "prefect work-pool delete rollouts" in refused["reason"]

    missing = setup(stack, "--check", code=1)

    assert missing["outcome"] == "incomplete"
    assert found(missing) == ["work pool rollouts is missing"] + [
        f"deployment {name}/{name} is missing" for name in FLOWS
    ]
    assert {difference["remedy"] for difference in missing["differences"]} == {"`saferollout setup`"}
    assert stack.api("POST", "/deployments/filter", json={}) == []

    changed = setup(stack)

    assert changed == missing | {"outcome": "changed"}
    before = server_shows(stack)
    assert {shown["name"] for shown in before[1]} == set(FLOWS)
    assert sorted(shown["name"] for shown in before[2]) == ["rollout ended", "rollout requested", "rollout silent"]
    for options in ([], ["--check"]):
        assert setup(stack, *options) == {"outcome": "complete", "differences": []}
    assert server_shows(stack) == before


def test_whatever_is_missing_or_different_is_listed_and_mended(stack: Stack) -> None:
    """Each kind of it at once: `--check` lists them, `setup` mends them; what was added to the environment stays."""
    setup(stack)
    ids = {name: deployment(stack, name)["id"] for name in FLOWS}
    automations = {shown["name"]: shown for shown in stack.api("POST", "/automations/filter", json={})}
    requested, ended, silent = (automations[f"rollout {what}"] for what in ("requested", "ended", "silent"))
    template = PLAIN | {"job_configuration": {"env": {"AZURE_TENANT_ID": "a"}, "command": "{{ command }}"}}
    later = {name: silent[name] for name in ("name", "enabled", "actions")} | {
        "trigger": silent["trigger"] | {"within": 3600}
    }
    (timer,) = deployment(stack, "retire")["schedules"]
    for method, path, body in (
        ("PATCH", "/work_pools/rollouts", {"base_job_template": template, "is_paused": True}),
        ("DELETE", f"/deployments/{ids['bootstrap']}", None),
        ("PATCH", f"/deployments/{ids['rollout']}", {"parameters": {"config": "configs/other.yaml"}, "tags": ["mine"]}),
        (
            "PATCH",
            f"/deployments/{ids['rollback']}",
            {"paused": True, "concurrency_limit": 1, "enforce_parameter_schema": False},
        ),
        ("POST", f"/deployments/{ids['rollback']}/schedules", [{"schedule": {"interval": 3600}, "active": True}]),
        ("PATCH", f"/deployments/{ids['rollback']}", {"job_variables": {"env": {"PYTHONPATH": "mine"}}}),
        ("PATCH", f"/deployments/{ids['guard']}", {"entrypoint": "mine.guard", "description": "mine"}),
        ("PATCH", f"/deployments/{ids['retire']}/schedules/{timer['id']}", {"active": False}),
        ("DELETE", f"/automations/{requested['id']}", None),
        ("PATCH", f"/automations/{ended['id']}", {"enabled": False}),
        ("PUT", f"/automations/{silent['id']}", later),
        (
            "POST",
            "/deployments/",
            {
                "name": "old",
                "flow_id": deployment(stack, "retire")["flow_id"],
                "tags": ["saferollout"],
                "work_pool_name": "rollouts",
                "entrypoint": "flows.old.old",
            },
        ),
    ):
        assert request(stack, method, path, body) < 300, path
    broken = server_shows(stack)

    listed = found(setup(stack, "--check", code=1))

    says = "is not as prefect.yaml says"
    many = ["job_variables", "concurrency_limit", "enforce_parameter_schema", "paused", "schedules"]
    template_says = (
        "has another job template: it lets runs choose their command or environment, or does not set all of it"
    )
    assert listed == [
        f"work pool rollouts {template_says}",
        "work pool rollouts is paused",
        f"deployment rollout/rollout {says}: tags, parameters",
        "automation 'rollout requested' of deployment rollout/rollout is missing",
        "deployment bootstrap/bootstrap is missing",
        f"deployment rollback/rollback {says}: {', '.join(many)}",
        f"deployment guard/guard {says}: entrypoint, description",
        f"automation 'rollout ended' of deployment guard/guard {says}",
        f"automation 'rollout silent' of deployment guard/guard {says}",
        f"deployment retire/retire {says}: schedules",
        "deployment old is on the server, but not in prefect.yaml",
    ]
    assert server_shows(stack) == broken
    assert found(setup(stack)) == listed
    assert setup(stack, "--check")["outcome"] == "complete"
    env = stack.api("GET", "/work_pools/rollouts")["base_job_template"]["job_configuration"]["env"]
    assert env == {"AZURE_TENANT_ID": "a", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


def test_teardown_is_there_only_while_it_is_asked_for(stack: Stack) -> None:
    """It is deployed with --with-teardown, reported without, and taken away again."""
    setup(stack)
    assert found(setup(stack, "--with-teardown")) == ["deployment teardown/teardown is missing"]
    assert setup(stack, "--with-teardown", "--check")["outcome"] == "complete"

    unasked = ["deployment teardown is on the server and was not asked for (--with-teardown)"]
    assert found(setup(stack, "--check", code=1)) == unasked
    assert found(setup(stack)) == unasked
    assert {shown["name"] for shown in stack.api("POST", "/deployments/filter", json={})} == set(FLOWS)


@pytest.mark.parametrize(
    "variables",
    [
        {"command": "touch mine"},
        {"env": {"PYTHONPATH": "mine"}},
        {"env.PYTHONPATH": "mine"},
        {"working_dir": "mine"},
        {"name": "mine"},
    ],
    ids=str,
)
def test_no_run_chooses_its_command_or_environment(stack: Stack, variables: dict[str, Any]) -> None:
    """The work pool refuses job variables of a new run, of one that is there, and of an automation that starts one."""
    setup(stack)
    rollout = deployment(stack, "rollout")["id"]
    run = stack.api("POST", f"/deployments/{rollout}/create_flow_run", json=LATER)["id"]
    action = {"type": "run-deployment", "source": "selected", "deployment_id": rollout, "job_variables": variables}
    trigger = {"type": "event", "posture": "Reactive", "expect": ["x"], "threshold": 1, "within": 0}

    assert (
        request(stack, "POST", f"/deployments/{rollout}/create_flow_run", LATER | {"job_variables": variables}) == 422
    )
    assert request(stack, "PATCH", f"/flow_runs/{run}", {"job_variables": variables}) == 422
    automation = {"name": "mine", "trigger": trigger, "actions": [action]}
    assert request(stack, "POST", "/automations/", automation) == 422


def test_a_run_that_falls_silent_starts_a_guard(stack: Stack, tmp_path: Path) -> None:
    """Its process is killed, so no heartbeat and no state follows: the run is named to the deployment.

    One that ended well is not.
    """
    setup(stack)

    def alive(name: str) -> str | None:
        body = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}
        events = stack.api("POST", "/events/filter", json=body)["events"]
        runs = [event["resource"] for event in events]
        return next((run["prefect.resource.id"] for run in runs if run["prefect.resource.name"] == name), None)

    def cleaning() -> list[str] | None:
        runs = stack.api("POST", "/flow_runs/filter", json={"deployments": {"name": {"any_": ["guard"]}}})
        named = [run["parameters"]["flow_run"] for run in runs if run["parameters"].get("flow_run")]
        return [f"prefect.flow-run.{name}" for name in named] or None  # the schedule's name none

    with started([sys.executable, "-c", ENDS_AND_HANGS, str(tmp_path)], stack.env):  # and killed
        wait_for("a heartbeat of the first run", lambda: alive("ends"))
        (tmp_path / "ends").touch()
        silent = wait_for("a heartbeat of the second run", lambda: alive("hangs"))

    assert wait_for("a guard", cleaning) == [silent]


def test_a_locked_database_is_waited_for(stack: Stack) -> None:
    """SQLite answers writers with 503 while somebody else writes: setup tries again until it is taken."""
    setup(stack, "--with-teardown")
    database = Path(stack.env["PREFECT_HOME"]) / "prefect.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as locking:
        locking.execute("BEGIN IMMEDIATE")
        with started(
            stack.command("setup", "--json"), stack.env_of_its_own | {"PREFECT_LOGGING_LEVEL": "DEBUG"}
        ) as process:
            assert process.stderr is not None
            assert any("status code 503" in line for line in process.stderr)
            locking.execute("ROLLBACK")
            output, _ = process.communicate()
    assert json.loads(output)["outcome"] == "changed"


def test_a_server_that_is_away_is_named_at_once() -> None:
    """Nothing answers: the address and what to do are named, with exit code 3."""
    url = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(SetupFailed, match=re.escape(f"at {url}")) as raised:
        set_up(check=True)
    assert raised.value.exit_code == 3
    assert "PREFECT_API_URL" in str(raised.value)


def test_what_is_not_prefects_is_named_as_such(stack: Stack) -> None:
    """Without its /api the server's address leads to its pages: exit code 2."""
    url = stack.env["PREFECT_API_URL"].removesuffix("/api")
    done = subprocess.run(
        stack.command("setup", "--check"),
        env=stack.env | {"PREFECT_API_URL": url},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"what answers at {url} is not Prefect's API; does PREFECT_API_URL end with /api?" in done.stderr
