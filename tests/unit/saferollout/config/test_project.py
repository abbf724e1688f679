"""A project is read whole, checked before Azure is called, and known by what makes the candidate."""

from pathlib import Path
from typing import Any

import pytest

from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.request import read_request
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import ConfigError, GateFailed, Problem
from tests.support.project import PINNED, edit, problems
from tests.unit.conftest import FILES


def test_each_mistake_is_reported_with_file_key_problem_and_remedy(mistake: Any) -> None:
    """A mistake gives exactly one problem, and its fields say where, what and what would be right."""
    expected = [Problem(mistake.file, mistake.key, mistake.problem, mistake.remedy, *mistake.at)]

    assert problems() == expected


def test_a_project_knows_all_that_it_points_to(project_files: Path) -> None:
    """Two keys are enough: the requests lie beside the deployment, the workspace comes from the environment."""
    found = project.load("rollout.yaml")

    assert found.endpoint == "diabetes"
    assert found.endpoint_path == project_files / "endpoint.yml"
    assert found.deployment_path == project_files / "green.yml"
    assert [request.request for request in found.requests()] == [{"data": [[1]]}, {"data": [[2]]}]
    assert found.config.workspace == WorkspaceConfig(
        subscription_id="00000000-0000-0000-0000-000000000001", resource_group="rg-models", name="ws-models"
    )
    assert (found.assets, found.answer_schema) == ({}, None)


@pytest.mark.parametrize("named", ["", "smoke_test: {requests: samples}\n", "smoke_test: {requests: other.json}\n"])
def test_a_request_as_azure_projects_have_it_is_enough(project_files: Path, named: str) -> None:
    """Without requests.jsonl the sample-request.json beside the deployment is sent; a file or folder can be named."""
    edit(project_files / "rollout.yaml", "deployment: green.yml\n", f"deployment: green.yml\n{named}")
    body = (project_files / "requests.jsonl").rename(project_files / "sample-request.json")
    body.write_text('{\n  "data": [[3]]\n}\n', encoding="utf-8")
    if named:
        (project_files / "samples").mkdir()
        (project_files / "samples" / "one.json").write_bytes(body.read_bytes())
        body.rename(project_files / "other.json")

    assert [request.request for request in project.load("rollout.yaml").requests()] == [{"data": [[3]]}]


def test_paths_start_at_the_config(project_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config means the same from every folder; a path in a message is one that can be opened from there."""
    (project_files / "elsewhere").mkdir()
    monkeypatch.chdir(project_files / "elsewhere")

    assert project.load("../rollout.yaml").endpoint_path == project_files / "endpoint.yml"

    (project_files / "endpoint.yml").unlink()
    (problem,) = problems("../rollout.yaml")
    assert (problem.file, problem.problem) == (
        str(project_files / "rollout.yaml"),
        f"no such file: {project_files / 'endpoint.yml'}",
    )


def test_a_run_goes_on_where_the_files_lie_elsewhere(project_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker has them in another folder: the same revision, found by what was asked for."""
    request = read_request({"config": "configs/rollout.yaml"})
    first, second = project_files / "first", project_files / "second"
    for name in FILES:
        (first / "configs" / name).parent.mkdir(parents=True, exist_ok=True)
        (project_files / name).rename(first / "configs" / name)
    monkeypatch.chdir(first)
    found = project.load("configs/rollout.yaml").for_request(request)
    assert found.on_this_machine() == found

    first.rename(second)
    monkeypatch.chdir(second)
    moved = found.on_this_machine()

    assert moved == project.load("configs/rollout.yaml").for_request(request)
    assert moved.deployment_path == second / "configs" / "green.yml"
    moved.check_unchanged()
    with pytest.raises(GateFailed, match="changed since the run began"):
        found.check_unchanged()


def test_all_mistakes_are_reported_at_once(project_files: Path) -> None:
    """Who made three mistakes need not run three times."""
    edit(project_files / "endpoint.yml", "diabetes", "d")
    edit(project_files / "green.yml", "model.bin", "gone.bin")
    (project_files / "requests.jsonl").write_text("{}\n[]\n", encoding="utf-8")

    found = [(problem.file, problem.line, problem.key) for problem in problems()]

    assert found == [
        ("endpoint.yml", 1, "name"),
        ("requests.jsonl", 1, "request"),
        ("requests.jsonl", 2, ""),
        ("green.yml", 4, "model.path"),
    ]


@pytest.mark.parametrize(
    ("content", "key", "problem", "line"),
    [
        ("{", "", "is not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)", 0),
        ("[]", "", "is not a JSON object", 0),
        (
            '{"properties": {\n\t"a": {\n\t"type": 12}}}',
            "properties.a.type",
            "12 is not valid under any of the given schemas",
            3,
        ),
    ],
)
def test_an_answer_schema_must_be_one(project_files: Path, content: str, key: str, problem: str, line: int) -> None:
    """A schema that could not check an answer is a mistake in the input, not a failure in the smoke test."""
    (project_files / "schema.json").write_text(content, encoding="utf-8")
    with (project_files / "rollout.yaml").open("a", encoding="utf-8") as file:
        file.write("smoke_test: {answer_schema: schema.json}\n")

    (found,) = problems()

    assert (found.file, found.line, found.key, found.problem) == ("schema.json", line, key, problem)
    assert found.remedy in ("write a JSON schema", "correct the JSON schema")


def test_a_model_that_is_asked_for_replaces_the_file(project_files: Path) -> None:
    """With a registered model, the deployment's YAML needs none, and a model file that is gone does not matter."""
    (project_files / "model.bin").unlink()

    found = project.load("rollout.yaml", PINNED)

    assert (found.assets, found.label) == ({"model": "azureml:diabetes:3"}, "diabetes:3")


@pytest.mark.parametrize("written", ["", " 7", " [a]"])
def test_a_model_that_is_none_is_reported(project_files: Path, written: str) -> None:
    """Nothing after the colon, or no model at all: a mistake like any other."""
    edit(project_files / "green.yml", "model:\n  path: model.bin", f"model:{written}")

    with pytest.raises(ConfigError, match=r"^green.yml: line 3, column 1: model: "):
        project.load("rollout.yaml", sdk=yaml_files)


@pytest.mark.parametrize(
    ("old", "new", "key", "problem", "at"),
    [
        ("instance_count: 1", "instance_count: two", "instance_count", "Not a valid integer", (11, 1)),
        ("name: green", "name: green\nrequest_settings: {max: 1}", "request_settings.max", "Unknown field", (2, 20)),
        ("conda_file: conda.yml", "", "environment", "Field may not be null", (8, 1)),
    ],
)
def test_what_the_sdk_refuses_is_reported_by_its_key(
    project_files: Path, old: str, new: str, key: str, problem: str, at: tuple[int, int]
) -> None:
    """The SDK writes pages about a mistake in the YAML; what counts is where it is and what is wrong."""
    edit(project_files / "green.yml", old, new)

    with pytest.raises(ConfigError) as caught:
        project.load("rollout.yaml", sdk=yaml_files)

    assert list(caught.value.problems) == [
        Problem("green.yml", key, f"the Azure ML SDK says: {problem}", "correct it", *at)
    ]


@pytest.mark.parametrize(
    ("key", "local", "written", "label"),
    [
        ("model", "\n  path: model.bin", "azureml:diabetes@latest", "diabetes@latest"),
        ("model", "\n  path: model.bin", "azureml:diabetes:2", "diabetes:2"),
        ("model", "\n  path: model.bin", "azureml://registries/r/models/m/versions/1", "m:1"),
        ("model", "\n  path: model.bin", "azureml://registries/r/models/m/labels/latest", "m@latest"),
        ("environment", "\n  conda_file: conda.yml", "azureml:sklearn@latest", None),
        ("environment", "\n  conda_file: conda.yml", "azureml://registries/r/environments/e/labels/latest", None),
    ],
)
def test_registered_assets_are_known_by_their_names(
    project_files: Path, key: str, local: str, written: str, label: str | None
) -> None:
    """A label must become a version before anything is deployed, so the project says what Azure holds of it."""
    edit(project_files / "green.yml", f"{key}:{local}", f"{key}: {written}")

    found = project.load("rollout.yaml")

    assert found.assets == {key: written}
    assert found.label == (label or found.revision)


def test_registered_resources_are_not_looked_for_on_disk(project_files: Path) -> None:
    """What Azure or the web holds cannot be checked here."""
    edit(project_files / "green.yml", "path: model.bin", "path: azureml://datastores/d/paths/m")
    edit(project_files / "green.yml", "code: src", "code: azureml:code:1")
    edit(project_files / "green.yml", "conda_file: conda.yml", "conda_file: https://example.org/conda.yml")

    assert project.load("rollout.yaml").endpoint == "diabetes"


def test_another_deployment_can_take_the_place_of_the_configured_one(project_files: Path) -> None:
    """The first deployment comes from another file with the same config."""
    text = (project_files / "green.yml").read_text(encoding="utf-8")
    (project_files / "blue.yml").write_text(text.replace("green", "blue"), encoding="utf-8")

    found = project.load("rollout.yaml", deployment=project_files / "blue.yml")

    assert found.deployment_path == project_files / "blue.yml"


@pytest.mark.usefixtures("project_files")
def test_the_workspace_of_a_bare_machine_is_the_environments() -> None:
    """A rollback needs no config: the environment names the workspace."""
    assert project.resolve_workspace(None).name == "ws-models"


@pytest.mark.usefixtures("project_files")
def test_a_missing_workspace_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a config, the variables to export are named."""
    monkeypatch.delenv("AZURE_RESOURCE_GROUP")

    with pytest.raises(ConfigError) as caught:
        project.resolve_workspace(None)

    assert list(caught.value.problems) == [
        Problem(
            "workspace",
            "resource_group",
            "environment variable AZURE_RESOURCE_GROUP is not set",
            "export it or write the value",
        )
    ]
