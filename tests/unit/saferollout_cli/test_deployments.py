"""The deployments of `prefect.yaml`: what is read from it, and how a mistake in it is reported."""

from pathlib import Path

import pytest

from saferollout.config import yaml_file
from saferollout.domain.errors import ConfigError
from saferollout_cli.deployments import Deployment, read
from saferollout_cli.setup import HOME

NAMES = ["rollout", "bootstrap", "rollback", "control", "guard", "retire", "watch-models", "teardown"]
GOOD = """\
pull:
  - prefect.deployments.steps.set_working_directory:
      directory: "{{ $SAFEROLLOUT_HOME }}"
deployments:
  - name: retire
    entrypoint: flows.retire.retire
    work_pool: {name: rollouts, work_queue_name: default}
    schedules:
      - cron: "7 * * * *"
"""


def read_file(path: Path) -> list[Deployment]:
    """The deployments of a file."""
    return read(yaml_file.read(path), path)


def test_the_projects_own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flow has its deployment, and where the project is comes from the environment."""
    monkeypatch.setenv("SAFEROLLOUT_HOME", "/srv/rollouts")
    found = {deployment.full_name: deployment for deployment in read_file(HOME / "prefect.yaml")}
    assert set(found) == {f"{name}/{name}" for name in NAMES}
    for deployment in found.values():
        (step,) = deployment.settings["pull"]
        assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "/srv/rollouts"}}
        assert deployment.settings["work_pool"] == {"name": "rollouts", "work_queue_name": "default"}


def test_a_folder_without_it_is_named(tmp_path: Path) -> None:
    """The path is in the message, as for any other file."""
    with pytest.raises(ConfigError, match=r"prefect\.yaml: no such file"):
        read_file(tmp_path / "prefect.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("flows.retire.retire", "flows.retire.nothing", 5, "nothing"),
        ("flows.retire.retire", "flows.nothing.nothing", 5, "No module named"),
        ("    entrypoint: flows.retire.retire\n", "", 5, "entrypoint"),
        ("- name: retire", "- retired: true", 5, "name"),
        ("cron:", "crone:", 5, "neither cron nor interval nor rrule"),
        ("    schedules:\n      - cron: ", "    triggers:\n      - type: ", 5, "DeploymentEventTrigger"),
        ("deployments:", "deployment:", 0, "has none"),
    ],
)
def test_a_mistake_is_reported_with_its_place(tmp_path: Path, old: str, new: str, line: int, problem: str) -> None:
    """What Prefect could not deploy is found before a server is asked."""
    path = tmp_path / "prefect.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as raised:
        read_file(path)
    (found,) = raised.value.problems
    assert found.line == line
    assert problem in str(found)
