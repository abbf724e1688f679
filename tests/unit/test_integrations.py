"""What pipelines use of this project passes the linters of its kind."""

import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from tests.support.pipeline import INTEGRATIONS, read_yaml, script_of, steps_of
from tests.support.programs import program

PROGRAMS = Path(sys.executable).parent


def lint(directory: Path) -> str:
    """What actionlint finds in the workflows of a repository, with shellcheck for their scripts."""
    command = [str(PROGRAMS / "actionlint"), "-no-color", "-shellcheck", program("shellcheck")]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    """In the workflow to copy, the action that it uses, and the action's steps as if a workflow had its inputs."""
    (tmp_path / ".git").mkdir()
    shutil.copytree(INTEGRATIONS, tmp_path / "integrations")
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    text = (INTEGRATIONS / "github" / "workflow.yml").read_text()
    (workflows / "rollout.yml").write_text(text)
    action = read_yaml("github/action.yml")
    inputs = {name: {"type": "string", "default": ""} for name in action["inputs"]}
    steps = {"runs-on": "ubuntu-latest", "steps": action["runs"]["steps"]}
    as_workflow = {"name": "action", "on": {"workflow_call": {"inputs": inputs}}, "jobs": {"action": steps}}
    YAML().dump(as_workflow, workflows / "action.yml")

    assert lint(tmp_path) == ""
    (workflows / "rollout.yml").write_text(text.replace("config: rollout", "konfig: rollout"))
    assert 'input "konfig" is not defined in action "Safe Rollout"' in lint(tmp_path)


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    """In the script that both run, and in the steps of the template for Azure DevOps."""
    scripts = [INTEGRATIONS / "ci" / "run.sh"]
    for number, step in enumerate(steps_of(read_yaml("azure-devops/rollout.yml")["steps"])):
        scripts.append(tmp_path / f"{number}.sh")
        scripts[-1].write_text(f"#!/bin/bash\n{script_of(step)}")
    assert len(scripts) == 5
    done = subprocess.run([program("shellcheck"), *scripts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_pipeline_of_azure_devops_gives_the_template_what_it_takes() -> None:
    """Azure DevOps has no linter that runs elsewhere: so names and the required ones are compared here."""
    template = read_yaml("azure-devops/rollout.yml")
    (step,) = read_yaml("azure-devops/pipeline.yml")["jobs"][0]["steps"]
    given = {name for name in step["parameters"] if not name.startswith("${{")}
    known = {parameter["name"] for parameter in template["parameters"]}
    assert step["template"] == "integrations/azure-devops/rollout.yml@saferollout"
    assert {parameter["name"] for parameter in template["parameters"] if "default" not in parameter} <= given <= known
