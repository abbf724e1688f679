"""The command line reports mistakes in the input on stderr, exits 2, and has called nothing."""

import contextlib
import json
import os
import socketserver
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

import saferollout_cli

REPOSITORY = Path(__file__).parents[3]
Saferollout = Callable[..., subprocess.CompletedProcess[str]]
WAYS_OUT = (
    "ARM_CLOUD_METADATA_URL",
    "AZURE_AUTHORITY_HOST",
    "PREFECT_API_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
)


@pytest.fixture
def calls(serve: Callable[[type[socketserver.BaseRequestHandler]], str]) -> tuple[str, list[str]]:
    """An address that notes every connection, whatever it speaks: where Azure and Prefect are said to be."""
    noted: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            noted.append(str(self.client_address))
            self.request.settimeout(2)
            with contextlib.suppress(OSError):
                noted[-1] += f": {self.request.recv(200)!r}"  # a test that fails shows who called

    return serve(Handler), noted


@pytest.fixture
def only_way_out(project_files: Path, calls: tuple[str, list[str]]) -> dict[str, str]:
    """The variables by which every way of a command out of the machine ends at `calls`."""
    ways = dict.fromkeys(WAYS_OUT, calls[0]) | {"NO_PROXY": "", "no_proxy": ""}
    return ways | {"PREFECT_HOME": str(project_files / "prefect")}


@pytest.fixture
def installed(only_way_out: dict[str, str]) -> Saferollout:
    """Run the installed command."""

    def run(*arguments: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **only_way_out, **variables}
        return subprocess.run(
            [Path(sys.executable).parent / "saferollout", *arguments],
            env={name: value for name, value in env.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def saferollout(
    only_way_out: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Saferollout]:
    """Run the command here as its process would, but for the imports, which cost more than all else that it does."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["saferollout", *arguments])
        monkeypatch.setattr("__main__.__package__", None)  # else usage would name what runs the tests
        with pytest.raises(SystemExit) as end:
            saferollout_cli.run()
        return subprocess.CompletedProcess(arguments, int(end.value.code or 0), *capfd.readouterr())

    # Prefect reads the environment when it is imported; what the command sets there is not left behind
    prefects = {PREFECT_API_URL: only_way_out["PREFECT_API_URL"], PREFECT_HOME: only_way_out["PREFECT_HOME"]}
    # threads that an earlier test's flow has left in this process go on calling its Prefect server on this machine
    near = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    with patch.dict(os.environ, only_way_out | near), temporary_settings(prefects):
        yield run


def test_a_mistake_exits_2_and_calls_nothing(
    some_mistake: Any, saferollout: Saferollout, calls: tuple[str, list[str]]
) -> None:
    """A mistake is one line with file, key, problem and remedy; nothing else happens."""
    done = saferollout("run", "rollout.yaml")

    line, column = some_mistake.at
    place = f"line {line}, column {column}" if column else f"line {line}" if line else ""
    where = ": ".join(part for part in (some_mistake.file, place, some_mistake.key) if part)
    assert done.stderr == f"error: {where}: {some_mistake.problem}; {some_mistake.remedy}\n"
    assert (done.returncode, done.stdout, calls[1]) == (2, "", [])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("rollback", "diabetes"), "workspace: name: environment variable AZUREML_WORKSPACE_NAME is not set"),
        (("retire",), "workspace: name: environment variable AZUREML_WORKSPACE_NAME is not set"),
        (
            ("bootstrap", "rollout.yaml"),
            "rollout.yaml: workspace.name: environment variable AZUREML_WORKSPACE_NAME is not set",
        ),
        (
            ("bootstrap", "rollout.yaml", "--deployment", "none.yml"),
            "rollout.yaml: line 2, column 1: deployment: no such file: none.yml",
        ),
        (("teardown", "diabetes", "--confirm", "diabetse"), "teardown: confirm: is 'diabetse'"),
        (("rollback", "a/../b?c"), "rollback: endpoint: 'a/../b?c' is not a valid endpoint name; use 3 to 32"),
        (("abort", "a b"), "abort: endpoint: 'a b' is not a valid endpoint name; use 3 to 32"),
        (
            ("promote", "diabetes", "--comment", "fine"),
            "command line: --skip-judge: is required: to promote a rollout is",
        ),
        (("promote", "diabetes", "--skip-judge"), "command line: --comment: is not given; say why the judge may be"),
        (("retire", ""), "retire: endpoint: '' is not a valid endpoint name; use 3 to 32"),
        (
            ("teardown", "a b", "--confirm", "a b"),
            "teardown: endpoint: 'a b' is not a valid endpoint name; use 3 to 32",
        ),
    ],
)
def test_a_mistake_is_reported_before_prefect_is_started(
    saferollout: Saferollout,
    calls: tuple[str, list[str]],
    arguments: tuple[str, ...],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other commands, too, look at what they were given before anything is called."""
    if "AZUREML_WORKSPACE_NAME" in problem:
        monkeypatch.delenv("AZUREML_WORKSPACE_NAME", raising=False)

    done = saferollout(*arguments)

    assert done.stderr.startswith(f"error: {problem}")
    assert (done.returncode, done.stdout, calls[1]) == (2, "", [])
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "submit"])
@pytest.mark.parametrize("model", ["diabetes", "azureml:diabetes", "azureml:diabetes@newest", "azureml:a:b:c", ""])
def test_a_wrong_model_exits_2(
    saferollout: Saferollout, calls: tuple[str, list[str]], command: str, model: str
) -> None:
    """A model on the command line has Azure's form for a version, or `@latest`."""
    done = saferollout(command, "rollout.yaml", "--model", model)

    assert done.stderr == (
        f"error: command line: --model: {model!r} is not a model version; "
        "write azureml:<name>:<version> or azureml:<name>@latest\n"
    )
    assert (done.returncode, done.stdout, calls[1]) == (2, "", [])


def test_every_mistake_has_its_line(project_files: Path, saferollout: Saferollout) -> None:
    """Several mistakes are several lines, and each names the file anew."""
    (project_files / "rollout.yaml").write_text("endpiont: x\n", encoding="utf-8")

    done = saferollout("submit", "rollout.yaml")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: rollout.yaml: endpoint: required, but not there; add it",
        "error: rollout.yaml: deployment: required, but not there; add it",
        "error: rollout.yaml: line 1, column 1: endpiont: unknown key; remove it or correct its spelling",
    ]


@pytest.mark.parametrize("arguments", [["run"], ["run", "a", "b"], ["walk"], ["run", "rollout.yaml", "--approve", "x"]])
def test_a_wrong_command_line_exits_2(saferollout: Saferollout, arguments: list[str]) -> None:
    """What the command line does not know is bad input like any other."""
    done = saferollout(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: saferollout" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_lists_the_commands(installed: Saferollout, calls: tuple[str, list[str]]) -> None:
    """`--help` works anywhere, at once."""
    done = installed("--help")

    assert (done.returncode, done.stderr, calls[1]) == (0, "", [])
    for command in (
        "demo",
        "run",
        "submit",
        "approve",
        "reject",
        "rollback",
        "release",
        "retire",
        "teardown",
        "schema",
    ):
        assert f" {command} " in done.stdout
    for command in ("abort", "pause", "continue", "promote", "retry"):
        assert f" {command} " in done.stdout


@pytest.mark.slow  # a process for each
@pytest.mark.parametrize(
    ("arguments", "outcome", "code"),
    [
        (("validate", str(REPOSITORY / "configs" / "rollout.yaml")), "valid", 0),
        (("validate", "none.yaml"), "invalid", 2),
        (("submit", "rollout.yaml"), "invalid", 2),
        (("run", "rollout.yaml", "--approve", "ui"), "invalid", 2),
        (("approve", "diabetes"), "invalid", 2),
        (("teardown", "diabetes"), "invalid", 2),
        (("rollback", "diabetes"), "invalid", 2),
        (("release", "diabetes", "--comment", " "), "invalid", 2),
    ],
    ids=["valid", "mistake", "submit", "ui", "approve", "unconfirmed", "no sign-in", "no reason"],
)
def test_json_is_one_object_whatever_comes_of_it(
    installed: Saferollout,
    calls: tuple[str, list[str]],
    arguments: tuple[str, ...],
    outcome: str,
    code: int,
    tmp_path: Path,
) -> None:
    """A program reads the outcome and the reason from stdout; a person reads the same on stderr."""
    nothing = dict.fromkeys(("PREFECT_API_URL", "ARM_CLOUD_METADATA_URL"))
    done = installed(*arguments, "--json", **nothing, PREFECT_PROFILES_PATH=str(tmp_path / "none.toml"))

    assert (done.returncode, calls[1]) == (code, []), done.stderr
    result = json.loads(done.stdout)
    assert result["outcome"] == outcome
    if code:
        said = [line for line in done.stderr.splitlines() if not line.startswith("log: ")]
        assert said == [f"error: {line}" for line in result["reason"].splitlines()]
    if arguments[0] in ("submit", "approve") or "ui" in arguments:
        assert "no Prefect server is configured; start one with `prefect server start`" in result["reason"]


@pytest.mark.parametrize("arguments", [("--version",), ("-h",), ("run", "-h"), ("rollback", "-h")])
def test_what_is_asked_for_in_short_is_answered(saferollout: Saferollout, arguments: tuple[str, ...]) -> None:
    """The version, and each command's help."""
    done = saferollout(*arguments)

    assert (done.returncode, done.stderr) == (0, "")
    expected = f"saferollout {version('saferollout')}\n" if arguments == ("--version",) else "Usage: saferollout"
    assert expected in done.stdout


@pytest.mark.slow
def test_the_published_schema_is_the_configs(installed: Saferollout) -> None:
    """Editors complete a config by `configs/rollout.schema.json`: it is what the command prints today."""
    done = installed("schema")

    assert (done.returncode, done.stderr) == (0, "")
    published = (REPOSITORY / "configs" / "rollout.schema.json").read_text(encoding="utf-8")
    assert json.loads(done.stdout) == json.loads(published)
    assert done.stdout == published, "run: saferollout schema > configs/rollout.schema.json"
