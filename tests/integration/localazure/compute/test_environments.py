"""Building environments, with the real uv."""

import asyncio
import subprocess
import zipfile
from pathlib import Path

import pytest

from localazure.arm.errors import BuildFailed
from localazure.compute.conda import Wanted, of_mlflow_model, parse
from localazure.compute.environments import Environments
from localazure.compute.interpreters import Interpreters
from localazure.core.clock import Clock


async def build(environments: Environments, wanted: Wanted, lines: list[str]) -> Path:
    """Build it on the Python that it asks for."""
    return await environments.build(wanted, await environments.interpreter(wanted, lines.append), lines.append)


def output(python: Path, program: str) -> str:
    """What the program prints."""
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout


async def test_an_environment_is_built_once_even_by_two_at_once(tmp_path: Path) -> None:
    """The second waits for the first and takes its work; nothing half-done is left."""
    lines: list[str] = []
    builders = [Environments(Clock(), tmp_path), Environments(Clock(), tmp_path)]
    first, second = await asyncio.gather(*(build(builder, parse(None), lines) for builder in builders))
    assert first == second
    assert first.exists()
    assert sum(line.startswith("Built environment") for line in lines) == 1
    assert list((tmp_path / "environments").glob("*.building")) == []


async def test_a_failed_build_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    """The next attempt starts afresh."""
    wanted = parse("dependencies:\n  - pip:\n      - azureml-inference-server-http==0.0.0.1\n")
    lines: list[str] = []
    with pytest.raises(BuildFailed, match=r"azureml-inference-server-http==0\.0\.0\.1"):
        await build(Environments(Clock(), tmp_path), wanted, lines)
    assert [path.suffix for path in (tmp_path / "environments").iterdir()] == [".lock"]


async def test_a_model_s_own_wheel_is_installed(tmp_path: Path) -> None:
    """The one that is in its folder; another one of the same name makes another environment."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").touch()
    (tmp_path / "model" / "requirements.txt").write_text("./own-1.0-py3-none-any.whl\n-c constraints.txt\n")
    (tmp_path / "model" / "constraints.txt").write_text("joblib==1.4.2\n")
    environments, found = Environments(Clock(), tmp_path), []
    for value in ("first", "second"):
        information = "own-1.0.dist-info"
        with zipfile.ZipFile(tmp_path / "model" / "own-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("own.py", f"import joblib\nvalue = '{value} with joblib ' + joblib.__version__\n")
            wheel.writestr(
                f"{information}/METADATA", "Metadata-Version: 2.1\nName: own\nVersion: 1.0\nRequires-Dist: joblib"
            )
            wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{information}/RECORD", "")
        python = await build(environments, of_mlflow_model(tmp_path), [])
        found.append(await asyncio.to_thread(output, python, "import own; print(own.value)"))
    assert found == ["first with joblib 1.4.2\n", "second with joblib 1.4.2\n"]


async def test_what_uv_does_not_understand_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of its own is no answer that there is no such Python."""
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "whichever")
    with pytest.raises(BuildFailed, match=r"uv does not list the interpreters: .*whichever"):
        await Interpreters().find("3.10", print)
