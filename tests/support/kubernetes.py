"""What Prefect's Kubernetes worker makes of the work pool's job template, by its own code, and the pod of it, here."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.programs import program
from tests.support.stack import REPOSITORY, Stack

MANIFEST = REPOSITORY / "deploy" / "kubernetes" / "job.yaml"
WORKER = [
    "prefect-kubernetes",
    *("kubernetes-asyncio", "kopf", "iso8601", "pyopenssl"),
    *("aiohttp", "aiosignal", "aiohappyeyeballs", "frozenlist", "multidict", "propcache", "yarl"),
]
"""The package and what it needs beside Prefect. They are not in the tests' own environment: each Prefect server and
worker would import them when it starts, which takes two seconds."""


def install_worker(directory: Path) -> Path:
    """Put Prefect's Kubernetes worker, in the version that the image has, into a folder of its own; return it."""
    uv = str(Path(sys.executable).with_name("uv"))
    constraints = str(REPOSITORY / "constraints.txt")
    where = ["--python", sys.executable, "--target", str(directory), "--constraint", constraints]
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", *where, *WORKER], check=True)
    return directory


def make_jobs(
    stack: Stack, worker: Path, template: dict[str, Any], flow_run: str, *variables: dict[str, Any]
) -> list[dict[str, Any]]:
    """Namespace and manifest of the Job that the worker makes for a run, once for each of these job variables.

    Kubernetes' own classes have read them, and lost nothing.
    """
    given = json.dumps({"template": template, "flow_run": flow_run, "variables": variables})
    path = os.pathsep.join(filter(None, [str(worker), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("make_jobs.py"))],  # this folder has a prefect.py, too
        input=given,
        env=stack.env_of_its_own | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: list[dict[str, Any]] = json.loads(done.stdout)
    return made


@contextmanager
def pod(directory: Path, manifest: dict[str, Any], secret: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A pod of the Job: the container's command with its environment; it does not outlive the block.

    Args:
        directory: Its home and its place, to be made; what it says lies beside it.
        manifest: What the worker has made.
        secret: The environment that comes from elsewhere: from a Secret, or with the image.
    """
    directory.mkdir()
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    env = secret | {variable["name"]: variable["value"] for variable in container["env"]}
    env |= {"HOME": str(directory), "PREFECT_HOME": str(directory / "prefect")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [program(container["command"][0]), *container["command"][1:], *container["args"]]
    with (
        directory.with_suffix(".log").open("w") as log,
        subprocess.Popen(command, cwd=directory, env=env, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
