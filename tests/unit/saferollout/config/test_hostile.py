"""Input that would hang, exhaust or leave the project: each is one clear problem, found at once."""

import json
import os
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseRequestHandler

import pytest

from saferollout.azure import yaml_files
from saferollout.config import answer_schema, bounded_yaml, project, yaml_file
from saferollout.config.recorded_requests import read_requests
from saferollout.domain.errors import ConfigError, Problem
from saferollout.gates.answer_shape import AnswerCheck
from tests.support.project import edit, problems

WITH_SCHEMA = "endpoint: endpoint.yml\ndeployment: green.yml\nsmoke_test: {answer_schema: s.json}\n"


def device(path: Path) -> None:
    """Never ends."""
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    """Never begins."""
    os.mkfifo(path)


def endpoint_of_sockets(path: Path) -> None:
    """Cannot be opened."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def circle(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


@pytest.mark.parametrize("special", [device, pipe, Path.mkdir, endpoint_of_sockets, circle])
@pytest.mark.parametrize(
    "name",
    ["rollout.yaml", "endpoint.yml", "green.yml", "requests.jsonl", "s.json", "conda.yml", "src/score.py", "model.bin"],
)
def test_what_is_not_a_regular_file_is_refused(
    project_files: Path, name: str, special: Callable[[Path], object]
) -> None:
    """A device, a pipe, a folder, a socket or a circle of links as any file is named, and not read, nor by the SDK."""
    (project_files / "rollout.yaml").write_text(WITH_SCHEMA, encoding="utf-8")
    (project_files / "s.json").write_text("{}", encoding="utf-8")
    (project_files / name).unlink()
    special(project_files / name)

    (problem,) = problems(sdk=yaml_files)

    shown = "model.path" if (name, special) == ("model.bin", Path.mkdir) else name.rpartition("/")[2]
    assert (shown if special is not device else "/dev/zero") in str(problem)
    assert problem.remedy


@pytest.mark.parametrize("path", ["a" * 5000, "a/" * 2500, "../" * 1700], ids=["name", "folders", "upwards"])
@pytest.mark.parametrize("key", ["endpoint: endpoint.yml", "deployment: green.yml", "path: model.bin", "code: src"])
def test_a_path_that_is_too_long_is_one_problem(project_files: Path, key: str, path: str) -> None:
    """The problem names the key, and does not repeat thousands of characters."""
    name, _, old = key.partition(": ")
    edit(project_files / ("rollout.yaml" if name in ("endpoint", "deployment") else "green.yml"), old, path)

    (problem,) = problems(sdk=yaml_files)

    assert name in problem.key
    assert len(str(problem)) < 500


@pytest.mark.parametrize("name", ["rollout.yaml", "endpoint.yml", "green.yml", "conda.yml", "s.json"])
def test_a_file_that_is_too_large_is_refused(project_files: Path, name: str) -> None:
    """Its size is known before it is parsed, which would take minutes."""
    (project_files / "rollout.yaml").write_text(WITH_SCHEMA, encoding="utf-8")
    (project_files / "s.json").write_text("{}", encoding="utf-8")
    (project_files / name).write_bytes(b"#" + b"x" * bounded_yaml.MAX_BYTES)

    (problem,) = problems(sdk=yaml_files)

    assert (problem.file, problem.problem) == (name, "is larger than 256 KiB")


@pytest.mark.parametrize(
    "content",
    ["a: [" + "1," * 60_000, "- " * 60_000, "- &a x\n" * 15_000, "? " * 60_000],
    ids=["list", "deep", "anchors", "keys"],
)
def test_reading_stops_at_the_bounds(tmp_path: Path, content: str) -> None:
    """What is too much is not read to its end first."""
    (tmp_path / "a.yaml").write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        yaml_file.read(tmp_path / "a.yaml")

    (problem,) = caught.value.problems
    assert problem.problem in (bounded_yaml.TOO_DEEP, bounded_yaml.TOO_LARGE)


def test_everything_is_reported_in_one_pass(project_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set hides neither the config's other mistakes, nor those of any file, nor missing ones."""
    monkeypatch.setenv("TWO", "2")
    monkeypatch.delenv("AZUREML_WORKSPACE_NAME")
    (project_files / "rollout.yaml").write_text(
        WITH_SCHEMA + "live: {instance_count: '${TWO}'}\ncandidate: {instance_count: '${NOWHERE_SET}'}\nstage: 5\n",
        encoding="utf-8",
    )
    (project_files / "requests.jsonl").unlink()
    (project_files / "s.json").write_text('{"$ref": "#/gone"}', encoding="utf-8")
    edit(project_files / "endpoint.yml", "auth_mode: key", "auth_mode: none")
    edit(project_files / "green.yml", "model.bin", "gone.bin")
    edit(project_files / "green.yml", "instance_count: 1", "instance_count: two")
    edit(project_files / "conda.yml", "[", "[[")
    (project_files / "src" / "pipe").symlink_to("/dev/zero")

    found = [(problem.file, problem.line, problem.key) for problem in problems(sdk=yaml_files)]

    assert sorted(found) == [
        ("conda.yml", 2, ""),
        ("endpoint.yml", 2, "auth_mode"),
        ("green.yml", 4, "model.path"),
        ("green.yml", 6, "code_configuration.code"),
        ("green.yml", 11, "instance_count"),
        ("rollout.yaml", 0, "workspace.name"),
        ("rollout.yaml", 3, "smoke_test.requests"),
        ("rollout.yaml", 5, "candidate.instance_count"),
        ("rollout.yaml", 6, "stage"),
        ("s.json", 1, "$ref"),
    ]


@pytest.mark.parametrize("mistaken", ["endpoint: '${NOWHERE_SET}/e.yml'\ndeployment: green.yml\n", "slots: 5\n"])
def test_a_path_that_is_not_known_is_not_looked_for(project_files: Path, mistaken: str) -> None:
    """One mistake is one problem: a path with a variable that is not set, or none at all, is not missing as well."""
    (project_files / "rollout.yaml").write_text(
        mistaken if "endpoint" in mistaken else f"endpoint: endpoint.yml\ndeployment: green.yml\n{mistaken}",
        encoding="utf-8",
    )

    assert len(problems(sdk=yaml_files)) == 1


def test_a_run_of_mlflow_is_a_models_path(project_files: Path) -> None:
    """Azure ML registers what an MLflow run wrote from its address, where the model has a name and a version."""
    edit(project_files / "green.yml", "path: model.bin", "path: runs:/abc/model")
    (problem,) = problems(sdk=yaml_files)
    assert (problem.key, "beside the name and version" in problem.remedy) == ("model.path", True)

    edit(project_files / "green.yml", "path: runs", "name: m\n  version: 1\n  path: runs")
    assert project.load("rollout.yaml", sdk=yaml_files).label == "m:1"


@pytest.mark.slow
def test_thousands_of_bad_lines_are_ten_problems_and_a_count(project_files: Path) -> None:
    """Whoever points at the wrong file sees that at once."""
    (project_files / "requests.jsonl").write_text("x\n" * 20_000, encoding="utf-8")

    found = problems()

    assert [problem.line for problem in found] == [*range(1, 11), 0]
    assert found[-1] == Problem("requests.jsonl", "", "has 19990 more problems", "correct these first")
    with pytest.raises(ConfigError) as caught:
        read_requests(project_files / "requests.jsonl")
    assert len(caught.value.problems) == 11


def test_thousands_of_unknown_keys_are_fifty_and_a_count(project_files: Path) -> None:
    """The other files' mistakes are listed all the same."""
    with (project_files / "rollout.yaml").open("a", encoding="utf-8") as file:
        file.writelines(f"k{number}: x\n" for number in range(2000))
    (project_files / "requests.jsonl").write_text("x\n", encoding="utf-8")

    found = problems()

    assert len(found) == 52
    assert found[-2].problem == "has 1950 more problems"


@pytest.fixture
def schema(project_files: Path) -> Callable[[object], Problem | None]:
    """Reads an answer schema; returns its problem."""

    def read(content: object) -> Problem | None:
        text = content if isinstance(content, str) else json.dumps(content)
        (project_files / "s.json").write_text(text, encoding="utf-8")
        try:
            answer_schema.read(project_files / "s.json")
        except ConfigError as error:
            (problem,) = error.problems
            return problem
        return None

    return read


def test_no_reference_is_fetched(
    schema: Callable[[object], Problem | None], serve: Callable[[type[BaseRequestHandler]], str]
) -> None:
    """Neither when the config is read nor when an answer is checked does anybody ask another server."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Keep stderr for what matters."""

    address = f"{serve(Handler)}/s.json"
    for content in ({"$ref": address}, {"$id": address, "$ref": "t.json"}, {"$schema": address}):
        problem = schema(content)
        assert problem is not None
        assert problem.key in content
    with pytest.raises(Exception, match="Unresolvable"):
        AnswerCheck({"$ref": address}).problem(None, [1], [])

    assert asked == []


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"$schema": []}, "$schema"),
        ({"$dynamicRef": "#x"}, "$dynamicRef"),
        ({"$id": "http://x/y", "$ref": "z"}, "$ref"),
        ({"a": {"$ref": "#/b"}, "$ref": "#/a"}, "a.$ref"),
        ({"$ref": "#"}, ""),
        ({"allOf": [{"not": {"$ref": "#"}}]}, ""),
        ({"patternProperties": {"^(\\w+\\s?)*$": {}}}, "patternProperties"),
        ({"pattern": "(x+x+)+y"}, "pattern"),
        ("[" * 100_000, ""),
        ('{"items":' * 60 + "{}" + "}" * 60, ""),
        ('{"maximum": NaN}', ""),
    ],
)
def test_a_schema_that_would_fail_later_is_a_mistake_now(
    schema: Callable[[object], Problem | None], content: object, key: str
) -> None:
    """References that lead nowhere or in circles, patterns that take for ever, and what is not JSON at all."""
    problem = schema(content)

    assert problem is not None
    assert problem.key == key


@pytest.mark.parametrize(
    "content",
    [
        '\ufeff{"type": "array"}',
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a"},
        {"$id": "http://x/y", "$defs": {"q": {"$id": "z", "type": "array"}}, "$ref": "z"},
        {"items": {"$ref": "#"}, "properties": {"$ref": {"type": "string"}}, "enum": [{"$ref": "nowhere"}]},
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        {"pattern": "^([a-z]+\\.)*[a-z]+$", "items": {"pattern": "^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}$"}},
    ],
)
def test_an_ordinary_schema_passes(schema: Callable[[object], Problem | None], content: object) -> None:
    """A byte order mark, older versions, references within the file, trees, and usual patterns."""
    assert schema(content) is None


def test_an_answer_deeper_than_a_schema_can_follow_is_an_error() -> None:
    """A schema of a tree says so of an answer that is nested without reason, and the gate goes on."""
    answer: list[object] = []
    for _ in range(5000):
        answer = [answer]

    assert AnswerCheck({"items": {"$ref": "#"}}).problem(None, answer, []) == "nested too deep for answer_schema"
