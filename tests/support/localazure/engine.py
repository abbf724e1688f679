"""A container engine for tests, and images for it that come from this machine and from no registry."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from localazure.compute.uv import run_uv
from localazure.core import leash
from tests.support.localazure.arm import wait_for

TRITON = ("nvidia-pytriton==0.7.0", "numpy==1.26.4")
"""NVIDIA's wheel that carries the Triton server itself, and the last numpy that its Python backend understands."""

NOT_NEEDED = (
    "site-packages",
    "test",
    "idlelib",
    "ensurepip",
    "config-*",
    "distutils",
    "lib2to3",
    "tkinter",
    "*.opt-?.pyc",
)
"""What of Python's library its image does without. With what is compiled, each container starts in half of the time."""


def docker(*argv: str | Path) -> str:
    """What the command prints. Raises CalledProcessError."""
    return subprocess.run(["docker", *argv], check=True, capture_output=True, text=True, timeout=120).stdout.strip()


def answers() -> bool:
    """Whether there is an engine."""
    try:
        docker("ps")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """The engine that answers here, or one that lives for the block: a Docker daemon with a directory of its own."""
    if answers():
        yield
        return
    if shutil.which("dockerd") is None or os.getuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("no container engine: .ci/packages installs one")
        pytest.skip("no container engine: .ci/packages installs one, for root")
    # Two daemons would give the same addresses to their containers, whichever tests started them.
    directory = os.environ.get("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    with FileLock(Path(directory) / "localazure-test-engine.lock"), _daemon():
        yield


@contextlib.contextmanager
def _daemon() -> Iterator[None]:
    directory = Path(tempfile.mkdtemp(prefix="engine-"))  # short: it holds sockets
    argv = [
        *("dockerd", f"--data-root={directory}/data", f"--exec-root={directory}/exec", f"--pidfile={directory}/pid"),
        *(f"--host=unix://{directory}/socket", "--iptables=false", "--ip-masq=false"),
    ]
    # a container on this machine's own network leaves a mount
    farewell = f"grep --only-matching ' {directory}/[^ ]*' /proc/mounts | xargs --no-run-if-empty umount --lazy"
    farewell = json.dumps(["sh", "-c", f"{farewell}; ip link delete docker0; rm -rf {directory}"])
    with pytest.MonkeyPatch.context() as patch, (directory / "log").open("w") as log:
        patch.setenv("DOCKER_HOST", f"unix://{directory}/socket")
        env = os.environ | {leash.GRACE_ENV: "30", leash.FAREWELL_ENV: farewell}
        daemon = subprocess.Popen(leash.command(*argv), stdin=subprocess.PIPE, stdout=log, stderr=log, env=env)
        try:
            wait_for(lambda: daemon.poll() is not None or (directory / "socket").exists(), bool)
            docker("ps")
            yield
        finally:
            daemon.communicate()  # the leash, which tidies up even when this process is killed, if in haste
            shutil.rmtree(directory, ignore_errors=True)


def base_image(directory: Path) -> str:
    """An image with this machine's Python."""
    root, standard = directory / "root", Path(sysconfig.get_path("stdlib"))
    skipped = shutil.ignore_patterns(*NOT_NEEDED)
    shutil.copytree(standard, inside(root, standard), ignore=skipped)
    python = Path(os.path.realpath(sys.executable))
    copy_programs(root, [python, *standard.glob("lib-dynload/*.so")])
    link(root, "usr/bin/python3", python)
    (root / "tmp").mkdir()
    home = f"PYTHONHOME={sys.base_prefix} LD_LIBRARY_PATH={sys.base_prefix}/lib"
    (directory / "Dockerfile").write_text(f"FROM scratch\nCOPY root /\nENV PATH=/usr/bin {home}\n")
    docker("build", "--quiet", "--tag", "localazure-test/python", directory)
    return "localazure-test/python"


def triton_image(directory: Path, base: str) -> str:
    """The same with the Triton server where its own images have it."""
    root, packages = directory / "root", Path(sysconfig.get_path("stdlib")) / "site-packages"
    target = inside(root, packages)
    asyncio.run(run_uv(["pip", "install", "--python", sys.executable, "--no-deps", "--target", target, *TRITON], print))
    server = target / "pytriton/tritonserver"
    stub = f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
    models_in_python = Path(shutil.copy(server / stub, server / "backends/python"))
    bash = Path(str(shutil.which("bash")))  # by which it starts them
    found = (path for path in target.rglob("*") if ".so" in path.name or path.parent.name == "bin")
    copy_programs(root, [bash, models_in_python, *found])
    link(root, "opt/tritonserver", packages / "pytriton/tritonserver")
    link(root, "usr/lib/python3/dist-packages", packages)  # where Debian's Python looks for them
    link(root, "usr/bin/tritonserver", Path("/opt/tritonserver/bin/tritonserver"))
    (directory / "Dockerfile").write_text(f"FROM {base}\nCOPY root /\n")
    docker("build", "--quiet", "--tag", "localazure-test/triton", directory)
    return "localazure-test/triton"


def copy_programs(root: Path, files: Sequence[Path]) -> None:
    """Copy the files into the image, and the shared libraries that they want, as this machine resolves them."""
    told = subprocess.run(["ldd", *files], check=False, capture_output=True, text=True).stdout
    words = [word for line in told.splitlines() for word in line.split()]
    for path in {*files, *(Path(word) for word in words if word.startswith("/") and not word.endswith(":"))}:
        if not path.is_relative_to(root):
            inside(root, path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, inside(root, path))


def link(root: Path, name: str, leads_to: Path) -> None:
    """A symbolic link in the image."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(leads_to)


def inside(root: Path, path: Path) -> Path:
    """Where the image has the file."""
    return root / path.relative_to("/")
