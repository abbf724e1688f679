"""The README's walk: somebody new, with a project that has a `sample-request.json`, in a fresh shell."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from saferollout_cli.demo.processes import free_port
from tests.support.documents import Command, commands, run_in_shell, texts
from tests.support.forks import forked
from tests.support.stack import DIABETES, STAGE, Stack

STAGES = [{"traffic": share, "judge": STAGE, "recheck_s": 1} for share in (10, 100)]


def make_project(directory: Path) -> Path:
    """A folder as the README asks for: no recorded requests but Azure's sample."""
    project = directory / "my-project"
    shutil.copytree(
        DIABETES, project, ignore=shutil.ignore_patterns("requests.jsonl", "candidates", "green*", "__pycache__")
    )
    with (DIABETES / "requests.jsonl").open() as lines:
        request = json.loads(next(lines))["request"]
    (project / "sample-request.json").write_text(json.dumps(request))
    return project


def test_the_first_ten_minutes(stack: Stack, tmp_path: Path) -> None:
    """With the commands of the README a new version is promoted, and one with a bug is rolled back.

    The server is the stack's, so that none is started for each command; the commands are forked, and the stages are
    short. The commands for a real workspace come last, against the same local Azure: there is nothing left to do.
    """
    project = make_project(tmp_path)
    stages = json.dumps({"stages": STAGES})[1:-1].replace('"stages"', "stages")
    walk = [
        *commands("README.md", "Safe Rollout"),
        *commands("README.md", "Your own project, in ten minutes"),
        *commands("README.md", "Point it at a real workspace")[:4],
    ]
    instead = {
        "make rollout": "make --dry-run rollout",  # test_demo.py runs the demo
        "cd my-project": f"cd {project}",
        "'deployment: green-deployment.yml'": f"'deployment: green-deployment.yml' '{stages}'",
        "az login": "true",
        "export AZURE_SUBSCRIPTION_ID=…  AZURE_RESOURCE_GROUP=…  AZUREML_WORKSPACE_NAME=…": "true",  # local Azure's
        "configs/rollout.yaml": "rollout.yaml",
        "configs/diabetes/blue-deployment.yml": "blue-deployment.yml",
    }
    names = [name for name in stack.env if name.startswith("PREFECT_")]
    env = {name: stack.env[name] for name in [*names, "FORKS", "PYTHONPATH"]}

    output = run_in_shell(walk, tmp_path, instead=instead, env=env)

    promoted, rolled_back, nothing_to_do = output.split("$ saferollout run ")[1:]
    assert "Promoted" in promoted
    assert "1 distinct" in promoted
    assert "rolled back" in rolled_back.lower()
    assert "424" in rolled_back
    assert "get-logs" in rolled_back
    assert "othing to do" in nothing_to_do


def test_the_commands_with_prefect(forks: str, tmp_path: Path) -> None:
    """A fresh shell starts a server, sets up the flows and a worker; the event of the README's block starts a run.

    No workspace is there: that is what the run says. Submission and approval as written are in test_rollout.py. What
    the commands start is forked.
    """
    api = f"http://127.0.0.1:{free_port()}/api"
    (event,) = texts("README.md", "Point it at a real workspace", "python")
    with_prefect = [
        found
        for found in commands("README.md", "Point it at a real workspace")
        if found.text.startswith(("prefect", "until", "export SAFEROLLOUT", "export PREFECT", "saferollout setup"))
    ]
    activate = commands("README.md", "Safe Rollout")[1]
    look = [
        Command(f"python - <<'PY'\n{event}\nPY"),
        Command(f"python - <<'PY'\n{LOOK}\nPY"),
    ]
    env = {"PREFECT_SERVER_API_PORT": str(urlsplit(api).port), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

    output = run_in_shell(
        [activate, *with_prefect, *look],
        tmp_path,
        instead={"http://127.0.0.1:4200/api": api, "prefect-server.log": str(tmp_path / "server.log")},
        env=forked(env | {"DO_NOT_TRACK": "1"}, forks),
    )

    assert "7 deployments" in output
    assert "AZURE_SUBSCRIPTION_ID" in output.split("the run: ")[1]


LOOK = """
import os, time, httpx

def ask(path, **body):
    return httpx.post(os.environ["PREFECT_API_URL"] + path, json=body).raise_for_status().json()

print(len(ask("/deployments/filter")), "deployments")
deadline = time.monotonic() + 240
while not (ended := [run for run in ask("/flow_runs/filter") if run["state_type"] == "FAILED"]):
    assert time.monotonic() < deadline, ask("/flow_runs/filter")
    time.sleep(0.3)
print("the run:", ended[0]["state"]["message"])
"""
