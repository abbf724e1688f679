"""A team's repository of rollouts, as a bare git repository, and hosts whose workers clone it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout_cli.demo.processes import Process
from saferollout_cli.setup import POOL
from tests.support.localazure.sdk import PROJECT
from tests.support.stack import REPOSITORY

SCORE = """\
import json

def init():
    pass

def run(raw):
    return {"y": json.loads(raw)["x"] * 2}
"""
JUDGE = {"requests_per_s": 10, "capacity_share": 1, "min_duration_s": 2, "max_duration_s": 120}
GIT = {
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Ada"), ("EMAIL", ""))
    },
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Team:
    """Writes the configs of endpoints, and publishes them."""

    def __init__(self, directory: Path) -> None:
        self._work = directory / "work"
        self.repository = directory / "rollouts.git"
        self.configs = self._work / "configs"
        self.configs.mkdir(parents=True)
        (self.configs / "code").mkdir()
        (self.configs / "code" / "score.py").write_text(SCORE)
        (self.configs / "requests.jsonl").write_text(json.dumps({"request": {"x": 2}, "answer": {"y": 4}}) + "\n")
        self._git("init", "--quiet", "--initial-branch", "main", cwd=self._work)

    def add(self, name: str, **changes: object) -> None:
        """An endpoint with its first deployment, and the config of a rollout to the next one."""
        (self.configs / f"{name}-endpoint.yml").write_text(yaml.safe_dump({"name": name, "auth_mode": "key"}))
        for version in (1, 2):
            model = self.configs / "models" / f"{name}-{version}"
            model.mkdir(parents=True)
            (model / "model.json").write_text(json.dumps({"of": name, "version": version}))
            content = yaml.safe_load((PROJECT / "blue-deployment.yml").read_text()) | {"endpoint_name": name}
            content["model"] = {"name": name, "version": str(version), "path": f"models/{name}-{version}"}
            content["environment"]["conda_file"] = "conda.yml"
            (self.configs / f"{name}-v{version}.yml").write_text(yaml.safe_dump(content))
        (self.configs / "conda.yml").write_text((PROJECT / "conda.yml").read_text())
        config = {
            "endpoint": f"{name}-endpoint.yml",
            "deployment": f"{name}-v2.yml",
            "smoke_test": {"requests": "requests.jsonl"},
            "stages": [{"traffic": share, "judge": JUDGE, "recheck_s": 1} for share in (10, 100)],
        }
        (self.configs / f"{name}.yaml").write_text(yaml.safe_dump(config | changes))

    def bootstrap(self, name: str) -> Workspace:
        """Serve the first version; return the workspace."""
        azure = Workspace(Client(resolve_workspace(None)))
        azure.create_endpoint(self.configs / f"{name}-endpoint.yml")
        azure.create_deployment(self.configs / f"{name}-v1.yml", name, "blue", assets={}, tags={})
        azure.update_endpoint(name, traffic={"blue": 100})
        return azure

    def publish(self) -> str:
        """Put all of it into the bare repository; return its address."""
        self._git("add", ".", cwd=self._work)
        self._git("commit", "--quiet", "--message", "rollouts", cwd=self._work)
        self._git("clone", "--quiet", "--bare", str(self._work), str(self.repository), cwd=self._work)
        return self.repository.as_uri()

    @staticmethod
    def _git(*arguments: str, cwd: Path) -> None:
        subprocess.run(["git", *arguments], cwd=cwd, env=os.environ | GIT, check=True, capture_output=True)


@dataclass
class Host:
    """A machine of its own, as far as one can stand for several: its folder is home, state and place of its worker."""

    directory: Path
    env: dict[str, str]
    results: Path
    """Where all hosts keep what runs return, as on a shared disk."""
    python: str
    user: int | None = None
    """The number of the user that owns it; None: whoever starts it."""
    worker: Process = field(init=False)

    def __post_init__(self) -> None:
        self.directory.mkdir()
        (self.directory / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")  # the repository is somebody else's
        (self.directory / "tmp").mkdir()
        if self.user is not None:
            for path in (self.directory, *self.directory.iterdir()):
                os.chown(path, self.user, self.user)
        self.start()

    def start(self) -> None:
        """Start its worker."""
        own = {
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory / "tmp"),
            "PREFECT_HOME": str(self.directory / "prefect"),
            "PREFECT_PROFILES_PATH": str(self.directory / "prefect" / "profiles.toml"),
            "PREFECT_LOCAL_STORAGE_PATH": str(self.results),
        }
        as_user = (
            [] if self.user is None else ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        )
        command = [
            *as_user,
            self.python,
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            POOL,
            "--name",
            self.directory.name,
        ]
        self.worker = Process(self.directory.name, command, self.env | own, self.directory.parent, self.directory)


def install_wheel(directory: Path, python: str) -> str:
    """Install the wheel into an environment of its own, which any user may use; return its interpreter."""
    uv = str(Path(sys.executable).with_name("uv"))
    made = str(directory / "environment" / "bin" / "python")
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SSL_CERT_FILE")}
    source = copy_of_this(directory / "source")
    dist = directory / "dist"
    build = [uv, "build", "--quiet", "--wheel", "--out-dir", str(dist), str(source)]
    for command in (build, [uv, "venv", "--quiet", "--python", python, str(directory / "environment")]):
        subprocess.run(command, env=clean, check=True)
    (wheel,) = dist.glob("*.whl")
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--link-mode", "copy", "--python", made]
    subprocess.run([*install, "--constraint", str(source / "constraints.txt"), str(wheel)], env=clean, check=True)
    return made


def copy_of_this(directory: Path) -> Path:
    """A copy of the repository's own files: to build in it leaves nothing here."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, directory / name)
    return directory
