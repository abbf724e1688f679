"""Trouble with what records a rollout, struck when the candidate has its first traffic and turns bad."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from saferollout_cli.demo import processes
from tests.support.edge import Edge
from tests.support.stack import DIABETES, REPOSITORY, Endpoint, Stack

LATE = """
import os
import pathlib

import score

init = score.init


def run(raw_data):
    if pathlib.Path(os.environ["FAILS_WHEN"]).exists():
        raise LookupError("late: every request fails from now on")
    return score.run(raw_data)
"""
Strike = Callable[[subprocess.Popen[str]], object]


@contextmanager
def killed(stack: Stack, directory: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """A Prefect server of the run's own, which is killed."""
    env = processes.prefect_env(directory) | {name: value for name, value in stack.env.items() if "PREFECT" not in name}
    with processes.prefect_server(directory, env, REPOSITORY) as server:
        server.wait_until(processes.healthy(env["PREFECT_API_URL"]), processes.START_S)
        yield env, lambda _: server.kill()


@contextmanager
def throttled(stack: Stack, _: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """Every request to Prefect is answered 429, some with a Retry-After."""
    with Edge(stack.env["PREFECT_API_URL"]) as edge:
        yield stack.env | {"PREFECT_API_URL": edge.url}, lambda _: edge.throttle()


@contextmanager
def failing(stack: Stack, _: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """Every request to Prefect is answered 500."""
    with Edge(stack.env["PREFECT_API_URL"]) as edge:
        yield stack.env | {"PREFECT_API_URL": edge.url}, lambda _: edge.fail()


@contextmanager
def slow(stack: Stack, _: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """Prefect's answers take 20 s, or never come."""
    with Edge(stack.env["PREFECT_API_URL"]) as edge:
        yield stack.env | {"PREFECT_API_URL": edge.url}, lambda _: edge.delay()


@contextmanager
def full(stack: Stack, directory: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """The run's process can no longer write to any file: neither Prefect's results nor its log."""

    def strike(process: subprocess.Popen[str]) -> None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    env = stack.env_of_its_own | {"PREFECT_LOCAL_STORAGE_PATH": str(directory / "results")}
    yield env, strike


def late_candidate(endpoint: Endpoint, **changes: Any) -> tuple[Path, Path]:
    """A config whose candidate fails every request once a file exists, and that file."""
    code = endpoint.directory / "late"
    shutil.copytree(DIABETES / "onlinescoring", code)
    (code / "late.py").write_text(LATE)
    fails = endpoint.directory / "fails"
    config = endpoint.config(orchestrator_grace_s=600, **changes)
    path = endpoint.directory / "green-deployment.yml"
    content = yaml.safe_load(path.read_text())
    content["code_configuration"] = {"code": str(code), "scoring_script": "late.py"}
    content["environment_variables"] = {"FAILS_WHEN": str(fails)}
    path.write_text(yaml.safe_dump(content))
    return config, fails
