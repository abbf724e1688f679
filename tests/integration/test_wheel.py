"""The wheel: installed as the README says, in an environment that knows nothing of the repository."""

from pathlib import Path

from tests.support.documents import commands, run_in_shell
from tests.support.team import copy_of_this


def test_the_wheel_is_all_that_is_needed(tmp_path: Path) -> None:
    """Its commands start, the schema is that of the repository, and the demo finds its project and its flows."""
    clone = copy_of_this(tmp_path / "clone")
    look = f"cd {tmp_path} && python -c 'from saferollout_cli.demo.conductor import HOME; print(HOME)'"
    enter, *rest = commands("README.md", "Without the repository")
    run_in_shell(
        [*commands("README.md", "Safe Rollout")[1:], enter, *rest],
        tmp_path,
        instead={"uv build": f"cd {clone} && unset PYTHONPATH && uv build", "saferollout demo": look},
    )
    installed = clone / "rollouts" / "share" / "saferollout"
    for folder in ("configs", "examples", "prefect.yaml"):
        there = sorted(path.relative_to(installed) for path in installed.glob(f"{folder}/**/*") if path.is_file())
        expected = sorted(path.relative_to(clone) for path in clone.glob(f"{folder}/**/*") if path.is_file())
        assert there == expected
    assert (installed / "prefect.yaml").is_file()
    assert (clone / "rollout.schema.json").read_text() == (clone / "configs" / "rollout.schema.json").read_text()
