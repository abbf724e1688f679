"""What `deploy/` has: its tools accept it, and it names nothing that is not there."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import prefect.cli
import prefect.settings
import pytest
import yaml

import saferollout_cli
from saferollout_cli.pool import COMMAND, read_pool
from tests.support.programs import program

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
JOB = DEPLOY / "kubernetes" / "job.yaml"
OF_REDIS = {"PREFECT_REDIS_MESSAGING_HOST", "PREFECT_REDIS_MESSAGING_PORT"}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def job() -> Any:
    """The manifest of a run's Job."""
    return yaml.safe_load(JOB.read_text())


def compose() -> dict[str, Any]:
    """The compose file, its anchors resolved."""
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def variables() -> Iterator[tuple[str, str]]:
    """Each variable that a file of it sets, and the file."""
    for service in compose()["services"].values():
        yield from ((name, "compose.yaml") for name in service.get("environment", {}))
    for path in [*DEPLOY.glob("systemd/*.example"), *UNITS]:
        yield from ((name, path.name) for name in re.findall(r"^(?:Environment=)?([A-Z_]+)=", path.read_text(), re.M))
    for path in DEPLOY.glob("helm/*.yaml"):
        yield from ((name, path.name) for name in re.findall(r"name: ([A-Z_]+),", path.read_text()))


def test_prefect_knows_each_setting() -> None:
    """A misspelt one would be ignored silently."""
    names = {(name, file) for name, file in variables() if name.startswith("PREFECT_") and name not in OF_REDIS}
    assert len(names) > 15
    assert [(name, file) for name, file in sorted(names) if not hasattr(prefect.settings, name)] == []


def test_compose_names_only_what_it_has() -> None:
    """Services, volumes and variables; what must be set is in the example."""
    text = (DEPLOY / "compose.yaml").read_text()
    content = compose()
    services = content["services"]
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.M))
    asked = set(re.findall(r"\$\{([A-Z_]+)(?::\?|:-)", text))
    assert asked - example.keys() == {"SAFEROLLOUT_PULL"}
    assert example.keys() <= asked
    for service in services.values():
        assert service.get("depends_on", {}).keys() <= services.keys()
        volumes = [volume.partition(":")[0] for volume in service.get("volumes", []) if not volume.startswith("..")]
        assert set(volumes) <= content["volumes"].keys()
    for published in services["server"]["ports"]:
        assert published.startswith("127.0.0.1:")


def commands() -> list[list[str]]:
    """The commands that are started, without what they are given."""
    found = [service["command"] for service in compose()["services"].values() if "command" in service]
    found += [re.findall(r"^ExecStart=/opt/saferollout/bin/(.*)$", unit.read_text(), re.M)[0].split() for unit in UNITS]
    ours = [command for command in found if command[0] in ("prefect", "saferollout")]
    return [list(map(str, command)) for command in dict.fromkeys(map(tuple, ours))]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_each_command_takes_its_options(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Asked for its help with all that it is given, a command refuses what it does not know."""
    main = {"prefect": prefect.cli.app, "saferollout": saferollout_cli.run}[command[0]]
    monkeypatch.setattr(sys, "argv", [*command, "--help"])
    with patch.dict(os.environ), pytest.raises(SystemExit) as end:
        main()
    shown, errors = capfd.readouterr()
    assert not end.value.code, shown + errors
    words = [word for word in command[1:] if word.startswith("--")]
    assert [word for word in words if word not in shown] == []


def test_the_image_has_a_user_of_its_own() -> None:
    """No stage begins with whatever is the latest, and what runs is not root."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    (default,) = [line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG")]
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"${BASE}"}
    assert ":" in default
    assert not default.endswith(":latest")
    assert next(line for line in lines if line.startswith(("USER", "CMD"))) == "USER 10001"


def test_the_image_is_made_of_what_the_wheel_is_made_of() -> None:
    """Its build sees all of that, and nothing else of a clone: no environment, no history, no file with secrets."""
    comment, nothing, *names = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert (comment[0], nothing) == ("#", "*")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    setuptools = project["tool"]["setuptools"]
    found = [path for pattern in setuptools["packages"]["find"]["include"] for path in REPOSITORY.glob(pattern)]
    needed = {path.name for path in found if (path / "__init__.py").exists()}
    needed |= {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    data = [pattern for patterns in setuptools["data-files"].values() for pattern in patterns]
    seen = {name.removeprefix("!") for name in names if name.startswith("!")}
    assert {name.split("/")[0] for name in seen} == needed | {pattern.split("/")[0] for pattern in data}
    assert [pattern for pattern in data if not pattern.startswith(tuple(seen))] == []


def test_the_image_has_what_pods_start() -> None:
    """What a Job and the charts' workers run is in it, and where a Job mounts configs and results is where it looks."""
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert f" {COMMAND[0]}=" in dockerfile
    assert f"\nENTRYPOINT {json.dumps(COMMAND[:2])}\n" in dockerfile  # where none is named
    assert "[kubernetes," in dockerfile
    for path in DEPLOY.glob("helm/prefect-worker*.yaml"):
        worker = yaml.safe_load(path.read_text())["worker"]
        assert worker["command"] == COMMAND[:2]  # the chart's own is in Prefect's image alone
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f"SAFEROLLOUT_CONFIGS={mounts['configs']}:" in dockerfile
    assert f"PREFECT_LOCAL_STORAGE_PATH={mounts['results']}\n" in dockerfile


def test_jobs_and_their_workers_fit() -> None:
    """The worker may make Jobs, of the locked pool's type, in its own namespace; a run may do nothing in Kubernetes."""
    values = yaml.safe_load((DEPLOY / "helm" / "prefect-worker-kubernetes.yaml").read_text())
    assert values["worker"]["config"]["type"] == read_pool(JOB).type
    assert values["role"]["create"]
    assert values["rolebinding"]["create"]
    pod = job()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_each_unit(unit: Path, tmp_path: Path) -> None:
    """With programs that are there in the place of those that will be."""
    analyze = program("systemd-analyze")
    name = unit.name.replace("@", "@1")
    content = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.M)
    (tmp_path / name).write_text(content.replace("User=saferollout", "User=root"))
    done = subprocess.run([analyze, "verify", str(tmp_path / name)], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if str(tmp_path) in line or name in line]
    assert (done.returncode, said) == (0, [])
