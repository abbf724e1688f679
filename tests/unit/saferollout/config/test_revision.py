"""The revision: of all that is deployed, and of nothing else; a run keeps what it began with."""

import shutil
from pathlib import Path

import pytest

from saferollout.config import project
from saferollout.domain.errors import GateFailed, Problem
from tests.support.project import LATEST, PINNED, edit, problems


@pytest.mark.parametrize("file", ["model.bin", "src/score.py", "conda.yml"])
def test_the_revision_changes_with_each_part_of_the_candidate(project_files: Path, file: str) -> None:
    """An approval holds for what it was given for: other content is another revision."""
    before = project.load("rollout.yaml").revision
    with (project_files / file).open("a", encoding="utf-8") as part:
        part.write("\n# changed\n")

    assert project.load("rollout.yaml").revision != before


@pytest.mark.parametrize(
    ("key", "local", "asset"),
    [
        ("model", "\n  path: model.bin", "azureml:diabetes"),
        ("environment", "\n  conda_file: conda.yml", "azureml:sklearn"),
    ],
)
def test_the_revision_is_of_versions_not_of_labels(project_files: Path, key: str, local: str, asset: str) -> None:
    """A label that has moved makes another candidate; one that has not is what its version is."""
    edit(project_files / "green.yml", f"{key}:{local}", f"{key}: {asset}@latest")
    found = project.load("rollout.yaml")
    before, after = (found.with_assets({key: f"{asset}:{version}"}).revision for version in (3, 4))

    edit(project_files / "green.yml", f"{asset}@latest", f"{asset}:3")

    assert project.load("rollout.yaml").revision == before != after


def test_a_model_that_is_asked_for_is_the_one_that_is_written(project_files: Path) -> None:
    """Whether a version is asked for or given in the YAML, it makes the same candidate."""
    asked_for = project.load("rollout.yaml", PINNED).revision
    edit(project_files / "green.yml", "model:\n  path: model.bin", "model: azureml:diabetes:3")

    assert project.load("rollout.yaml").revision == asked_for


def test_the_revision_changes_with_the_model_and_the_yaml(project_files: Path) -> None:
    """A registered model and every key of the YAML are part of the candidate."""
    revisions = {project.load("rollout.yaml", model).revision for model in (None, LATEST)}
    edit(project_files / "green.yml", "instance_count: 1", "instance_count: 2")

    assert len(revisions | {project.load("rollout.yaml").revision}) == 3


def test_files_of_their_own_belong_to_the_candidate(project_files: Path) -> None:
    """A model or an environment that the YAML takes from another file, and an image's build folder, count as well."""
    (project_files / "parts").mkdir()
    (project_files / "parts" / "environment.yml").write_text("build: {path: image}\n", encoding="utf-8")
    (project_files / "parts" / "model.yml").write_text("path: ../model.bin\n", encoding="utf-8")
    edit(project_files / "green.yml", "model:\n  path: model.bin", "model: file:parts/model.yml")
    edit(
        project_files / "green.yml", "environment:\n  conda_file: conda.yml", "environment: file:parts/environment.yml"
    )

    (problem,) = problems()
    assert (problem.key, problem.problem) == ("environment.build.path", "no such file: parts/image")

    revisions = set()
    for file in ("parts/image/Dockerfile", "parts/image/more", "model.bin", "parts/model.yml"):
        (project_files / file).parent.mkdir(exist_ok=True)
        with (project_files / file).open("a", encoding="utf-8") as part:
            part.write("\n# changed\n")
        revisions.add(project.load("rollout.yaml").revision)
    assert len(revisions) == 4


def test_files_that_changed_meanwhile_are_noticed(project_files: Path) -> None:
    """What is deployed must be what was planned, with a registered model as well."""
    for model in (None, LATEST):
        found = project.load("rollout.yaml", model)
        found = found.with_assets({"model": str(PINNED)}) if model else found
        found.check_unchanged()
        edit(project_files / "src" / "score.py", "...", "... ")

        with pytest.raises(GateFailed, match=r"the files of green.yml changed since the run began; start a new one"):
            found.check_unchanged()


@pytest.mark.parametrize("gone", ["src/score.py", "conda.yml", "model.bin", "green.yml"])
def test_a_file_that_is_gone_has_changed(project_files: Path, gone: str) -> None:
    """A run that waits goes back with the reason, whatever became of the files."""
    found = project.load("rollout.yaml")
    (project_files / gone).unlink()

    with pytest.raises(GateFailed, match=r"the files of green.yml changed since the run began; start a new one"):
        found.check_unchanged()


def test_weights_behind_a_link_belong_to_the_candidate(project_files: Path) -> None:
    """A link to a folder is followed, as it is when the model is uploaded: retrained weights are a new candidate."""
    for version in ("v1", "v2"):
        (project_files / "store" / version).mkdir(parents=True)
        (project_files / "store" / version / "weights.bin").write_text(version, encoding="utf-8")
    (project_files / "model").mkdir()
    (project_files / "model" / "weights").symlink_to("../store/v1")
    edit(project_files / "green.yml", "path: model.bin", "path: model")
    found = project.load("rollout.yaml")

    (project_files / "model" / "weights").unlink()
    (project_files / "model" / "weights").symlink_to("../store/v2")

    moved = project.load("rollout.yaml").revision
    with pytest.raises(GateFailed, match="changed since the run began"):
        found.check_unchanged()
    (project_files / "store" / "v2" / "weights.bin").write_text("retrained", encoding="utf-8")
    assert len({found.revision, moved, project.load("rollout.yaml").revision}) == 3


def test_the_name_that_a_model_is_found_by_belongs_to_the_candidate(project_files: Path) -> None:
    """`$AZUREML_MODEL_DIR/<folder>` is named as what a link leads to; code has one place, whatever its name."""
    for name in ("v1", "v2"):
        (project_files / name).mkdir()
        (project_files / name / "weights.bin").write_text("the same", encoding="utf-8")
    (project_files / "src").rename(project_files / "one")
    shutil.copytree(project_files / "one", project_files / "two")
    edit(project_files / "green.yml", "path: model.bin", "path: model")

    def revision(model: str, code: str) -> str:
        for link, target in (("model", model), ("src", code)):
            (project_files / link).unlink(missing_ok=True)
            (project_files / link).symlink_to(target)
        return project.load("rollout.yaml").revision

    assert revision("v1", "one") == revision("v1", "two") != revision("v2", "two")


def test_what_is_not_uploaded_is_no_part_of_the_candidate(project_files: Path) -> None:
    """Logs and checkpoints that are ignored come and go; an ignore file of the code alone counts."""
    edit(project_files / "green.yml", "code: src", "code: .")
    edit(project_files / "green.yml", "scoring_script: score.py", "scoring_script: src/score.py")
    (project_files / ".amlignore").write_text("*.log\n/checkpoints/\n", encoding="utf-8")
    found = project.load("rollout.yaml")
    for name in ("run.log", "checkpoints/one.ckpt", ".git/FETCH_HEAD"):
        (project_files / name).parent.mkdir(exist_ok=True)
        (project_files / name).write_text("new", encoding="utf-8")

    found.check_unchanged()
    assert project.load("rollout.yaml").revision == found.revision

    (project_files / "helper.py").write_text("new", encoding="utf-8")
    assert project.load("rollout.yaml").revision != found.revision


def test_a_scoring_script_that_is_not_uploaded_is_reported(project_files: Path) -> None:
    """The deployment would never come up."""
    (project_files / "src" / ".gitignore").write_text("*.py\n", encoding="utf-8")
    (project_files / "src" / "more").touch()

    assert problems() == [
        Problem(
            "green.yml",
            "code_configuration.scoring_script",
            "score.py is not uploaded with src",
            "move it there, or do not exclude it in .amlignore or .gitignore",
            7,
            3,
        )
    ]


def test_a_model_of_which_changes_would_not_arrive_is_reported(project_files: Path) -> None:
    """The SDK would go on with the weights that it uploaded before; code it knows by its content."""
    for name in ("model", "src"):
        (project_files / name / "deep").mkdir(parents=True)
        (project_files / name / "deep" / "weights.bin").touch()
        (project_files / name / ".amlignore").write_text("deep\n!weights.bin\n", encoding="utf-8")
    edit(project_files / "green.yml", "path: model.bin", "path: model")

    (found,) = problems()

    assert found.key == "model.path"
    assert found.problem.startswith(".amlignore excludes deep, but the SDK uploads files of it and does not notice")
    assert found.remedy == "add !deep to it, or exclude its files as well"


def test_a_run_keeps_the_requests_that_it_began_with(project_files: Path) -> None:
    """Whatever becomes of the file, every gate sends the same; as JSON too, which is how Prefect keeps a project."""
    found = project.load("rollout.yaml")
    kept = project.Project.model_validate_json(found.model_dump_json())

    (project_files / "requests.jsonl").unlink()

    assert [request.request for request in kept.requests()] == [{"data": [[1]]}, {"data": [[2]]}]
    assert kept.requests() == found.requests()
    kept.check_unchanged()


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("requests.jsonl", "[[2]]", "[[3]]", "recorded requests"),
        ("schema.json", "number", "string", "answer schema"),
        ("rollout.yaml", "max_wrong: 0", "max_wrong: 1", "config"),
    ],
)
def test_other_inputs_are_no_other_candidate(project_files: Path, file: str, old: str, new: str, changed: str) -> None:
    """The revision stays; what is shown to whoever decides distinguishes the inputs of two runs."""
    (project_files / "schema.json").write_text('{"type": "number"}', encoding="utf-8")
    edit(
        project_files / "rollout.yaml",
        "green.yml\n",
        "green.yml\nsmoke_test: {answer_schema: schema.json, max_wrong: 0}\n",
    )
    before = project.load("rollout.yaml")

    edit(project_files / file, old, new)
    after = project.load("rollout.yaml")

    assert after.revision == before.revision
    assert [name for name in before.inputs if before.inputs[name] != after.inputs[name]] == [changed]
    assert before.inputs["recorded requests"].startswith("2 (`")


def test_the_revision_stays_when_the_candidate_does(project_files: Path) -> None:
    """The slot's name, compiled Python and what lies beside are not part of what the candidate is."""
    before = project.load("rollout.yaml").revision
    edit(project_files / "green.yml", "name: green", "name: blue")
    (project_files / "src" / "__pycache__").mkdir()
    (project_files / "src" / "__pycache__" / "score.pyc").write_bytes(b"\0")
    (project_files / "notes.txt").write_text("nothing", encoding="utf-8")

    assert project.load("rollout.yaml").revision == before
    assert len(before) == 12
