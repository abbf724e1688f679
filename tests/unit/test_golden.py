"""A run that waits while the project is upgraded goes on: what earlier versions wrote is read by this one."""

import json
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
from prefect.serializers import JSONSerializer

from saferollout.config.project import Project
from saferollout.domain.errors import NotRolledBack
from saferollout.domain.evidence import Evidence
from saferollout.judge import Judge
from saferollout.report.outcome import Outcome
from saferollout.rollout.record import Record
from tests.support import golden

RELEASES = sorted(golden.FOLDERS.iterdir())


def read(folder: Path, name: str) -> str:
    """A file of a release."""
    return (folder / name).read_text()


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_what_a_release_wrote_is_read(folder: Path) -> None:
    """Record, project, evidence with the judge's state, outcome, and an answer to its form: nothing of it is lost."""
    record = Record.from_tags(json.loads(read(folder, "tags.json")))
    assert record is not None
    assert json.loads(read(folder, "tags.json")).items() <= record.to_tags().items()
    kept = JSONSerializer()
    project = kept.loads(read(folder, "result-project.json").encode())
    assert isinstance(project, Project)
    assert (project.endpoint, len(project.requests()), len(project.config.stages)) == ("shop", 1, 2)
    for evidence in (
        kept.loads(read(folder, "result-evidence.json").encode()),
        Evidence.model_validate_json(read(folder, "guard.json")),
    ):
        assert isinstance(evidence, Evidence)
        judge = Judge.from_dict(evidence.state)
        assert len(judge.comparisons) == 7
        assert json.loads(json.dumps(judge.to_dict())) == evidence.state
    assert isinstance(kept.loads(read(folder, "result-outcome.json").encode()), Outcome)
    answer = {"decision": "approve", "approver": "Ada", "comment": "", "evidence": "0123456789ab"}
    jsonschema.validate(answer, json.loads(read(folder, "form.json")))


def test_an_error_under_its_former_name_is_read() -> None:
    """Prefect keeps the error of a run by its name, which was another one before."""
    kept = JSONSerializer()
    stored = kept.dumps(NotRolledBack("no")).replace(b"NotRolledBack", b"NotRestored")
    assert repr(kept.loads(stored)) == "NotRolledBack('no')"


def test_this_version_has_a_folder_that_is_up_to_date() -> None:
    """Whoever changes a format sees it here: `python -m tests.support.golden` writes the folder of a new version."""
    folder = golden.FOLDERS / version("saferollout")
    assert folder in RELEASES
    for name, text in golden.documents().items():
        assert golden.shape(json.loads(read(folder, name))) == golden.shape(json.loads(text)), name
