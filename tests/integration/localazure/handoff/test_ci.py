"""The GitHub Action and the Azure DevOps template: the shell of their steps, run as a runner does.

What only the services themselves do is not seen here: signing in, installing, and how they evaluate their expressions.
"""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from localazure.testing import LocalAzure
from tests.support.handoff import runs
from tests.support.localazure.arm import Arm, Assets
from tests.support.pipeline import INTEGRATIONS, comments, fill_in, read_yaml, run_step, script_of, steps_of
from tests.support.prefect import Server
from tests.support.stack import REPOSITORY

from .test_wait import end

pytestmark = pytest.mark.xdist_group("handoff")  # one server

GITHUB = read_yaml("github/action.yml")
DEVOPS = read_yaml("azure-devops/rollout.yml")


class Job:
    """A job on GitHub's runner, with the action as its only step."""

    def __init__(self, directory: Path, env: dict[str, str], **inputs: str) -> None:
        self.directory = directory
        self.summary, outputs = directory / "summary.md", directory / "outputs"
        outputs.touch()
        given = {name: str(spec.get("default", "")) for name, spec in GITHUB["inputs"].items()}
        given |= {"why": "ci", "request-id": "github-1-2", "token": "the-token"} | inputs
        self._values = {f"inputs.{name}": value for name, value in given.items()}
        self._values |= {"runner.temp": str(directory), "github.event.pull_request.number": "7"}
        self._env = env | {
            "GITHUB_ACTION_PATH": str(INTEGRATIONS / "github"),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_PATH": str(directory / "path"),
            "GITHUB_REPOSITORY": "ann/models",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(directory),
        }
        self._outputs = outputs

    @property
    def outputs(self) -> dict[str, str]:
        """What the step `run` has put out."""
        return dict(line.split("=", 1) for line in self._outputs.read_text().splitlines())

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the action's steps but those of other actions; return how the step `run` ended."""
        ended: subprocess.CompletedProcess[str] | None = None
        for step in GITHUB["runs"]["steps"]:
            if "uses" in step:
                continue
            values = self._values | {f"steps.run.outputs.{name}": text for name, text in self.outputs.items()}
            env = {name: fill_in(text, values) for name, text in step.get("env", {}).items()}
            done = run_step(step["run"], self._env | env, REPOSITORY)
            if step.get("id") == "run":
                ended = done
            else:
                assert done.returncode == 0, done.stderr
        assert ended is not None
        return ended


@pytest.fixture
def env(server: Server, azure: LocalAzure) -> dict[str, str]:
    """What a workflow sets."""
    return server.env | azure.environ


def test_a_pull_request_gets_the_plan(env: dict[str, str], arm: Arm, assets: Assets, tmp_path: Path) -> None:
    """As the job's summary and as a comment; the endpoint is as it was, and nothing is asked for."""
    arm.endpoint("diabetes")
    assert arm.run("PUT", "onlineEndpoints/diabetes/deployments/blue", arm.deployment(assets))["status"] == "Succeeded"
    arm.endpoint("diabetes", traffic={"blue": 100})
    before = arm.get("onlineEndpoints/diabetes")
    with comments() as github:
        job = Job(tmp_path, env | {"GITHUB_API_URL": github.url}, config="rollout")
        done = job.run()

    assert done.returncode == 0, done.stderr
    assert arm.get("onlineEndpoints/diabetes") == before
    summary = job.summary.read_text()
    assert summary.startswith("# 📋 Plan: diabetes\n\n**diabetes:2 would take over from scale-model:1, as green**")
    assert "2. Create green with diabetes:2 at 0% of the traffic." in summary
    assert github.taken == [("/repos/ann/models/issues/7/comments", {"body": summary})]
    assert job.outputs == {"exit-code": "0", "flow-run": "", "report": str(tmp_path / "saferollout.md")}


def test_a_submitted_rollout_is_waited_for(server: Server, env: dict[str, str], tmp_path: Path) -> None:
    """The job fails as the rollout does, with its exit code; a comment that nobody takes does not change that."""
    before = len(runs(server))
    over = threading.Event()

    def roll_back() -> None:
        while not over.wait(0.3):
            for made in runs(server)[before:]:
                end(server, made["id"], "FAILED", "rolled back: judge at 10%: harmful")

    with comments() as github:
        inputs = {"command": "submit", "config": "rollout", "model": "m:3", "token": "another"}
        job = Job(tmp_path, env | {"GITHUB_API_URL": github.url}, **inputs)
        rolling_back = threading.Thread(target=roll_back)
        rolling_back.start()
        try:
            done = job.run()
        finally:
            over.set()
            rolling_back.join()

    (made,) = runs(server)[before:]
    assert (done.returncode, github.taken) == (1, []), done.stderr
    assert made["parameters"]["config"] == "rollout"
    assert made["parameters"]["model"] == {"name": "m", "version": "3"}
    assert (made["parameters"]["why"], made["idempotency_key"]) == ("ci", "rollout github-1-2")
    assert job.outputs == {"exit-code": "1", "flow-run": made["id"], "report": str(tmp_path / "saferollout.md")}
    summary = job.summary.read_text()
    assert "**rolled back: judge at 10%: harmful**" in summary
    assert f"[Flow run]({server.url.removesuffix('/api')}/runs/flow-run/{made['id']})" in summary


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"command": "delete"}, "command: 'delete' is not known; write plan or submit"),
        ({"timeout-minutes": "soon"}, "timeout-minutes: 'soon' is not a number of minutes; write 1 to 99999"),
        ({"command": "submit", "model": "m"}, "command line: --model: 'm' is not a model version"),
    ],
)
def test_bad_input_ends_with_2(env: dict[str, str], tmp_path: Path, inputs: dict[str, str], reason: str) -> None:
    """The summary says why."""
    with comments() as github:
        job = Job(tmp_path, env | {"GITHUB_API_URL": github.url}, **{"config": "rollout"} | inputs)
        done = job.run()
    assert done.returncode == 2, done.stderr
    assert f"- {reason}" in job.summary.read_text()
    assert job.outputs["exit-code"] == "2"
    assert [path for path, _ in github.taken] == ["/repos/ann/models/issues/7/comments"]


def test_the_steps_for_azure_devops(env: dict[str, str], tmp_path: Path) -> None:
    """The same script, its exit code as an output of the step, the report as the run's summary and as a comment."""
    install, run, summary, comment = steps_of(DEVOPS["steps"])
    given = {parameter["name"]: str(parameter.get("default", "")) for parameter in DEVOPS["parameters"]}
    given |= {"config": "no-such-config", "wait": "True"}
    values = {f"parameters.{name}": value for name, value in given.items()}
    values |= {
        "lower(parameters.wait)": "true",
        "Agent.TempDirectory": str(tmp_path),
        "System.AccessToken": "the-token",
    }
    values |= {"System.TeamProjectId": "p", "Build.Repository.ID": "r", "System.PullRequest.PullRequestId": "7"}
    values |= {"Build.DefinitionName": "ci", "Build.BuildId": "5"} | {name: env.get(name, "") for name in run["env"]}
    (tmp_path / "saferollout").symlink_to(REPOSITORY)

    def do(step: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        own = {name: fill_in(fill_in(text, values), values) for name, text in step.get("env", {}).items()}
        runner = {"TF_BUILD": "True", "PIPELINE_WORKSPACE": str(tmp_path), "AGENT_TEMPDIRECTORY": str(tmp_path)}
        return run_step(script_of(step), env | runner | own, REPOSITORY)

    with comments() as devops:
        values["System.CollectionUri"] = f"{devops.url}/"
        done = [do(step) for step in (install, run, summary, comment)]

    assert [each.returncode for each in done] == [0, 2, 0, 0], [each.stderr for each in done]
    assert "##vso[task.setvariable variable=exitCode;isOutput=true]2\n" in done[1].stdout
    report = tmp_path / "saferollout.md"
    assert "- configs/no-such-config.yaml: no such file; check the path" in report.read_text()
    assert done[2].stdout == f"##vso[task.uploadsummary]{report}\n"
    ((path, body),) = devops.taken
    assert path == "/p/_apis/git/repositories/r/pullRequests/7/threads?api-version=7.1"
    assert [each["content"] for each in body["comments"]] == [report.read_text()]
    assert json.dumps(body).count("the-token") == 0
