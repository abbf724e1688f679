"""What acceptance tests do with the stack, in the words of a user."""

import functools
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import yaml

from saferollout.azure.client import Client
from saferollout.azure.retries import insist
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.endpoint import EndpointState
from saferollout.rollout.record import Phase, Record
from saferollout_cli.demo.processes import Process, users
from tests.support import leaks
from tests.support.localazure.arm import Arm
from tests.support.models import write_model

REPOSITORY = Path(__file__).parents[2]
DIABETES = REPOSITORY / "configs" / "diabetes"
UNSCHEDULED = {"PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false"}
"""What keeps a Prefect server from starting runs by their schedule: a guard would come into each test every minute."""
FINAL = ("Completed", "Failed", "Crashed", "Cancelled")
FIRST_S, LAST_S = 0.2, 1.5
STAGE = {
    "requests_per_s": 20,
    "capacity_share": 1,
    "min_duration_s": 2,
    "max_duration_s": 60,
    "negligible_error_rate": 0.05,
}

T = TypeVar("T")


def wait_for(
    what: str,
    look: Callable[[], T | None],
    timeout_s: float = 240,
    poll_s: float | None = None,
    last_s: float = LAST_S,
) -> T:
    """Poll until `look` finds something; otherwise fail and say what never came.

    Each look costs whoever answers milliseconds, so that they become rarer, if they are not to come in equal time.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = poll_s or FIRST_S
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(pause_s)
        pause_s = poll_s or min(1.2 * pause_s, last_s)
    return found


@functools.cache
def client() -> httpx.Client:
    """One for all requests, for to make one takes longer than a hundred requests; it keeps no connection."""
    return httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))


@contextmanager
def started(command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command in the background, its output in pipes; whatever happens, it does not outlive the block.

    It is on no leash, as the demo's processes are: tests signal and kill the very process, and read how it ended.
    """
    with subprocess.Popen(
        command,
        env=env,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            if process.stderr and not process.stderr.closed:
                print(process.stderr.read())  # pytest shows it where the test fails


@dataclass
class Stack:
    """Local Azure, a Prefect server and a worker, and the environment that leads to them."""

    directory: Path
    env: dict[str, str]

    @property
    def ui(self) -> str:
        """The address of Prefect's UI."""
        return self.env["PREFECT_API_URL"].removesuffix("/api")

    @property
    def env_of_its_own(self) -> dict[str, str]:
        """The environment of a command whose very process matters: it is not forked by a server."""
        return {name: value for name, value in self.env.items() if name != "FORKS"}

    def command(self, *arguments: str) -> list[str]:
        """The command line's own entry point."""
        return [str(Path(sys.executable).parent / "saferollout"), *arguments]

    def cli(self, *arguments: str, code: int | None = 0) -> str:
        """Run a command, check its exit code (None: whichever) and return its standard output."""
        done = subprocess.run(
            self.command(*arguments), env=self.env, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        returned, output, errors = done.returncode, done.stdout, done.stderr
        assert code in (None, returned), f"{arguments} exited {returned}:\n{output}\n{errors}"
        return output if code == 0 else output + errors

    def api(self, method: str, path: str, **options: Any) -> Any:
        """Call Prefect's REST API; SQLite's passing 503 is asked again."""

        def call() -> httpx.Response | None:
            response = client().request(method, f"{self.env['PREFECT_API_URL']}{path}", **options)
            return None if response.status_code == 503 else response

        response = wait_for(f"{method} {path}", call)
        response.raise_for_status()
        return response.json() if response.content else None

    def post_events(self, events: list[dict[str, Any]]) -> int:
        """Emit events as any program can; return the status."""
        return client().post(f"{self.env['PREFECT_API_URL']}/events", json=events).status_code

    def run(self, flow_run: str) -> dict[str, Any]:
        """A flow run as the API shows it."""
        shown: dict[str, Any] = self.api("GET", f"/flow_runs/{flow_run}")
        return shown

    def until(self, flow_run: str, *states: str, timeout_s: float = 240) -> dict[str, Any]:
        """Wait until the run is in one of the states; fail at once when it ends in another."""

        def look() -> dict[str, Any] | None:
            run = self.run(flow_run)
            name = run["state_name"]
            assert name in states or name not in FINAL, f"{name}: {run['state']['message']}"
            return run if name in states else None

        return wait_for(f"flow run in {states}", look, timeout_s, last_s=2.0)

    def question(self, flow_run: str) -> str:
        """The markdown that a waiting run shows to whoever decides, which it writes a moment after it waits."""

        def look() -> str | None:
            keys = self.run(flow_run)["state"]["state_details"]["run_input_keyset"]
            body = {"prefix": keys["description"]}
            found = self.api("POST", f"/flow_runs/{flow_run}/input/filter", json=body)
            return str(json.loads(found[0]["value"])) if found else None

        return wait_for("a question", look)

    def logs(self, flow_run: str) -> list[str]:
        """What the run has logged, in order."""
        body = {"logs": {"flow_run_id": {"any_": [flow_run]}}, "sort": "TIMESTAMP_ASC"}
        return [line["message"] for line in self.api("POST", "/logs/filter", json=body)]

    def warnings(self, flow_run: str) -> list[str]:
        """What the run has warned of."""
        body = {"logs": {"flow_run_id": {"any_": [flow_run]}, "level": {"ge_": 30}}}
        return [line["message"] for line in self.api("POST", "/logs/filter", json=body)]

    def artifacts(self, flow_run: str) -> dict[str, dict[str, Any]]:
        """The run's artifacts by key."""
        found = self.api("POST", "/artifacts/filter", json={"artifacts": {"flow_run_id": {"any_": [flow_run]}}})
        return {artifact["key"]: artifact for artifact in found}


@dataclass
class Endpoint:
    """An endpoint with a first deployment, and rollouts on it."""

    stack: Stack
    name: str
    directory: Path

    @classmethod
    def bootstrap(cls, stack: Stack, directory: Path, test: str) -> Self:
        """Create the endpoint with model v1."""
        made = cls(stack, "e" + hashlib.sha256(test.encode()).hexdigest()[:10], directory)
        endpoint = yaml.safe_load((DIABETES / "endpoint.yml").read_text()) | {"name": made.name}
        (directory / "endpoint.yml").write_text(yaml.safe_dump(endpoint))
        workspace = made.workspace()
        workspace.create_endpoint(directory / "endpoint.yml")
        insist(workspace.create_deployment)(  # another test may be uploading the same model
            made.deployment("blue-deployment.yml"), made.name, "blue", assets={}, tags={}
        )
        workspace.update_endpoint(made.name, traffic={"blue": 100})
        leaks.note(stack.directory, workspace.secret(made.name), is_azures=True)
        return made

    @staticmethod
    @functools.cache
    def workspace() -> Workspace:
        """The workspace that the environment names."""
        return Workspace(Client(resolve_workspace(None)))

    @staticmethod
    def workspace_config() -> WorkspaceConfig:
        """Where the endpoint is: its subscription, resource group and workspace."""
        return resolve_workspace(None)

    def deployment(self, name: str) -> Path:
        """A deployment's YAML for this endpoint: the repository's, under the endpoint's name, with a light model."""
        source = DIABETES / name
        content = yaml.safe_load(source.read_text()) | {"endpoint_name": self.name}
        content["model"]["path"] = str(write_model(Path(content["model"]["path"]).parent.name, self.directory))
        content["code_configuration"]["code"] = str(source.parent / content["code_configuration"]["code"])
        content["environment"]["conda_file"] = str(source.parent / content["environment"]["conda_file"])
        path = self.directory / Path(name).name
        path.write_text(yaml.safe_dump(content))
        return path

    def turning(self, fault: str) -> tuple[Path, Path]:
        """A candidate's YAML, and a file: once that exists, answers are as after this line of its scoring script."""
        switch, code = self.directory / "bad", self.directory / "code"
        code.mkdir()
        (code / "score.py").write_text((DIABETES / "onlinescoring" / "score.py").read_text())
        (code / "turning.py").write_text(
            "import pathlib, score\n\n"
            "def init():\n"
            "    score.init()\n\n"
            "def run(raw):\n"
            "    rows = score.parse(raw)\n"
            f"    if pathlib.Path({str(switch)!r}).exists():\n"
            f"        {fault}\n"
            "    return score.predict(rows)\n"
        )
        content = yaml.safe_load(self.deployment("green-deployment.yml").read_text())
        content["code_configuration"] = {"code": str(code), "scoring_script": "turning.py"}
        path = self.directory / "turning.yml"
        path.write_text(yaml.safe_dump(content))
        return path, switch

    def config(self, deployment: str = "green-deployment.yml", **changes: Any) -> Path:
        """A rollout's config with quick stages, patient with good candidates: the machine may be busy."""
        limit = 300 if deployment.endswith("slow.yml") else 5000
        content = {
            "endpoint": "endpoint.yml",
            "deployment": str(self.deployment(deployment)),
            "live": {"instance_count": 2},
            "smoke_test": {
                "requests": str(DIABETES / "requests.jsonl"),
                "sample": 20,
                "max_latency_ms": limit,
                "tolerance": 160,
            },
            "stages": self.stages(),
        } | changes
        path = self.directory / "rollout.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    @staticmethod
    def stages(*, approval: bool = True, approval_at: int | None = None) -> list[dict[str, Any]]:
        """Quick stages at 10 and 100, with approvals at both, at none or at one of them."""
        return [
            {
                "traffic": share,
                "judge": STAGE,
                "recheck_s": 1,
                "approval": approval if approval_at is None else share == approval_at,
            }
            for share in (10, 100)
        ]

    def submit(self, config: Path, version: str | None = None, *, held: bool = False) -> str:
        """Start the deployed rollout as any program can, of a version of the endpoint's model; return its flow run.

        One that is `held` begins once it is let go.
        """
        deployment = self.stack.api("GET", "/deployments/name/rollout/rollout")["id"]
        model = {"name": self.name, "version": version} if version else None
        body: dict[str, Any] = {"parameters": {"config": str(config), "model": model}}
        if held:
            body["state"] = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2999-01-01T00:00:00Z"}}
        return str(self.stack.api("POST", f"/deployments/{deployment}/create_flow_run", json=body)["id"])

    def let_go(self, run: str) -> None:
        """Let a run begin that was held."""
        self.stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "SCHEDULED"}, "force": True})

    def state(self) -> EndpointState:
        """The endpoint as Azure shows it, once it can be asked."""
        return insist(self.workspace().get_endpoint)(self.name)

    def scale(self, name: str, instance_count: int, *, by_autoscaler: bool = True) -> None:
        """Give a deployment so many instances as somebody else does, for example an autoscaler."""
        with Arm(self.stack.env) as arm:
            if by_autoscaler:
                arm.autoscale(f"{self.name}-{name}", f"onlineEndpoints/{self.name}/deployments/{name}")
            body = {"sku": {"name": "Default", "capacity": instance_count}}
            ended = arm.run("PATCH", f"onlineEndpoints/{self.name}/deployments/{name}", body)
        assert ended["status"] == "Succeeded", ended

    def users(self, requests_per_s: int = 8) -> Process:
        """Users who send requests until the process is stopped."""
        workspace = self.workspace()
        arguments = {
            "uri": workspace.get_endpoint(self.name).scoring_uri,
            "requests": str(DIABETES / "requests.jsonl"),
            "requests_per_s": requests_per_s,
            "tolerance": 160,
        }
        env = self.stack.env | {"USERS_KEY": workspace.secret(self.name)}
        return users(arguments, self.directory, env, REPOSITORY)

    def delete(self) -> None:
        """Remove the endpoint."""
        self.workspace().delete_endpoint(self.name)


def counts_of(process: Process) -> dict[str, Any]:
    """Stop the users and return what they got."""
    process.stop()
    counts: dict[str, Any] = json.loads(process.lines.readlines()[-1])
    return counts


def phase_of(endpoint: Endpoint) -> Phase | None:
    """The phase in the endpoint's record."""
    record = Record.from_tags(endpoint.state().tags)
    return record.phase if record else None
