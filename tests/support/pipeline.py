"""A step of a pipeline, run as the pipeline's runner does: its shell as a process, and who takes its comments."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support.serving import serving
from tests.support.stack import REPOSITORY

INTEGRATIONS = REPOSITORY / "integrations"


def read_yaml(name: str) -> Any:
    """One of the integrations' files."""
    return YAML(typ="safe").load(INTEGRATIONS / name)


def steps_of(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps of a template of Azure DevOps that have a script, those under a condition among them."""
    inner = [each for step in steps for key, value in step.items() if key.startswith("${{ if") for each in value]
    return [step for step in [*steps, *inner] if "bash" in step or "task" in step]


def script_of(step: dict[str, Any]) -> str:
    """The shell script that the step runs."""
    return str(step.get("bash") or step["inputs"]["inlineScript"])


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """What a pipeline's file says, with what its expressions stand for."""
    return re.sub(r"\$\{\{ *([^}]+?) *\}\}|\$\(([\w.]+)\)", lambda found: values[found[1] or found[2]], text)


def run_step(script: str, env: Mapping[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a step's shell, with the commands of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where the step `Install` finds that there is no need
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={**env, "PATH": path},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


class Comments(ThreadingHTTPServer):
    """Stands where GitHub's or Azure DevOps' API is, and takes comments from whoever has the token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.taken: list[tuple[str, Any]] = []
        """The paths, and what was posted there."""


class _Handler(BaseHTTPRequestHandler):
    server: Comments

    def do_POST(self) -> None:
        """Take a comment."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = self.headers["Authorization"] == "Bearer the-token"
        if right:
            self.server.taken.append((self.path, json.loads(body)))
        self.send_response(201 if right else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def comments() -> Iterator[Comments]:
    """One that serves until the end of the block."""
    with serving(Comments()) as made:
        yield made
