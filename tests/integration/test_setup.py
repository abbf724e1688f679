"""`saferollout setup` on a real Prefect server: what is missing or different is listed, put right, then left alone."""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from saferollout_cli.demo.processes import free_port
from saferollout_cli.setup import SetupFailed, set_up
from tests.support.forks import fork_server, forked
from tests.support.kubernetes import MANIFEST, install_worker, make_jobs, pod
from tests.support.prefect import Server
from tests.support.stack import REPOSITORY, Stack, started, wait_for

FLOWS = ["rollout", "bootstrap", "rollback", "control", "guard", "retire", "watch-models"]
LATER = {
    "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": str(datetime.now(UTC) + timedelta(days=9))}}
}
PLAIN = {
    "job_configuration": {"command": "{{ command }}"},
    "variables": {"properties": {"command": {"type": "string"}}},
}
ENDS_AND_HANGS = """
import asyncio
from prefect import flow

@flow
async def rollout(s):
    await asyncio.sleep(s)

asyncio.run(rollout(2))
asyncio.run(rollout(600))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Prefect server and commands; no Azure, no worker. A silent run is noticed after 10 seconds instead of 90."""
    directory = tmp_path_factory.mktemp("server")
    server = Server(directory)
    home = directory / "home"
    home.mkdir()
    content = (REPOSITORY / "prefect.yaml").read_text()
    assert content.count("within: 70\n") == 1
    (home / "prefect.yaml").write_text(content.replace("within: 70\n", "within: 10\n"))
    env = server.env | {"SAFEROLLOUT_HOME": str(home), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    with ExitStack() as stopping:
        stopping.callback(server.stop)
        server.start()
        env = forked(env, directory)
        stopping.enter_context(fork_server(directory, env, REPOSITORY))
        yield Stack(directory, env)


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


def test_a_run_that_falls_silent_starts_a_guard(stack: Stack) -> None:
    """Its process is killed, so no heartbeat and no state follows: the run is named to the deployment.

    One that ended well is not.
    """
    setup(stack)

    def alive() -> list[str] | None:
        body = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}
        events = stack.api("POST", "/events/filter", json=body)["events"]
        runs = {event["resource"]["prefect.resource.id"]: event["occurred"] for event in events}
        return sorted(runs, key=runs.__getitem__) if len(runs) == 2 else None

    def cleaning() -> list[str] | None:
        runs = stack.api("POST", "/flow_runs/filter", json={"deployments": {"name": {"any_": ["guard"]}}})
        named = [run["parameters"]["flow_run"] for run in runs if run["parameters"].get("flow_run")]
        return [f"prefect.flow-run.{name}" for name in named] or None  # the schedule's name none

    with started([sys.executable, "-c", ENDS_AND_HANGS], stack.env):  # and killed
        _ended, silent = wait_for("a heartbeat of each run", alive)

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


@pytest.fixture
def no_pool(stack: Stack) -> Iterator[None]:
    """The server has no work pool, before and after."""
    request(stack, "DELETE", "/work_pools/rollouts")
    yield
    request(stack, "DELETE", "/work_pools/rollouts")


@pytest.mark.usefixtures("no_pool")
def test_each_run_is_a_job_of_the_manifest_and_nothing_else(stack: Stack, tmp_path: Path) -> None:
    """Setup locks the pool and mends it; Prefect's own worker makes the same good Job of it, whatever a run brings."""
    options = ["--job", str(MANIFEST)]
    assert "is 'folder'" in setup_fails(stack, *options, "--pull", "folder")
    assert "work pool rollouts is missing" in found(setup(stack, *options))
    assert setup(stack, *options, "--check")["outcome"] == "complete"
    assert deployment(stack, "rollout")["pull_steps"] == []
    said = setup(stack, code=1)["reason"]
    assert "is of type kubernetes and must be of type process" in said
    assert "give --job its manifest" in said

    template = stack.api("GET", "/work_pools/rollouts")["base_job_template"]
    opened = template | {"variables": PLAIN["variables"]}
    assert request(stack, "PATCH", "/work_pools/rollouts", {"base_job_template": opened}) < 300
    listed = ["work pool rollouts has another job template: it is not what job.yaml makes it"]
    assert found(setup(stack, *options, "--check", code=1)) == listed
    assert found(setup(stack, *options)) == listed
    assert stack.api("GET", "/work_pools/rollouts")["base_job_template"] == template

    rollout = deployment(stack, "rollout")["id"]
    mine = {
        "command": "touch mine",
        "image": "mine",
        "namespace": "kube-system",
        "env": {"PYTHONPATH": "mine"},
        "env.PYTHONPATH": "mine",
        "job_manifest": {"spec": {}},
        "cluster_config": {"config": {}, "context_name": "mine"},
    }
    for name, value in mine.items():
        body = LATER | {"job_variables": {name: value}}
        assert request(stack, "POST", f"/deployments/{rollout}/create_flow_run", body) == 422
    body = {"parameters": {"config": "nothing.yaml"}}
    run = stack.api("POST", f"/deployments/{rollout}/create_flow_run", json=body)["id"]
    made, other = make_jobs(stack, install_worker(tmp_path / "worker"), template, run, {}, mine)
    assert other == made  # the server does not look at what a run without a deployment brings along

    with pod(tmp_path / "pod", made["manifest"], stack.env_of_its_own) as started_here:
        assert "nothing.yaml" in stack.until(run, "Failed")["state"]["message"]
        assert started_here.wait(60) == 0  # the flow has come to its end: nothing is left to Kubernetes

    job, written = made["manifest"], yaml.safe_load(MANIFEST.read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable["value"] for variable in container.pop("env")}
    assert env["PREFECT__FLOW_RUN_ID"] == run
    assert env["PREFECT_API_URL"] == stack.env["PREFECT_API_URL"]
    assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert env["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert made["namespace"] == job["metadata"]["namespace"] == written["metadata"]["namespace"]
    del job["spec"]["template"]["metadata"], written["spec"]["template"]["metadata"]
    assert job["spec"] == written["spec"]
