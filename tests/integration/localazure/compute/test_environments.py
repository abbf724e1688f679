"""Building environments, with the real uv."""

import asyncio
from pathlib import Path

import pytest

from localazure.arm.errors import BuildFailed
from localazure.compute.conda import parse
from localazure.compute.environments import Environments
from localazure.core.clock import Clock


async def test_an_environment_is_built_once_even_by_two_at_once(tmp_path: Path) -> None:
    """The second waits for the first and takes its work; nothing half-done is left."""
    wanted = parse(None)
    lines: list[str] = []
    builders = [Environments(Clock(), tmp_path), Environments(Clock(), tmp_path)]
    first, second = await asyncio.gather(*(builder.build(wanted, lines.append) for builder in builders))
    assert first == second
    assert first.exists()
    assert sum(line.startswith("Built environment") for line in lines) == 1
    assert list((tmp_path / "environments").glob("*.building")) == []


async def test_a_failed_build_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    """The next attempt starts afresh."""
    wanted = parse("dependencies:\n  - pip:\n      - azureml-inference-server-http==0.0.0.1\n")
    lines: list[str] = []
    with pytest.raises(BuildFailed, match=r"azureml-inference-server-http==0\.0\.0\.1"):
        await Environments(Clock(), tmp_path).build(wanted, lines.append)
    assert [path.suffix for path in (tmp_path / "environments").iterdir()] == [".lock"]
