"""An endpoint's own files: what they say, and that what they say is live already."""

from pathlib import Path
from typing import Any

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.config import bounded_yaml, project
from saferollout.config.project import Project
from saferollout.domain.errors import Missing, Refused
from saferollout.rollout.adopt import CONFIG, DEPLOYMENT, ENDPOINT, Adopted, adopt
from saferollout.rollout.begin import begin
from tests.support.twin import NAME, OWNERS, deploy, edit, look, make_endpoint, make_project


def adopted(memory: Memory) -> Adopted:
    """The files; the endpoint is left as it was."""
    before = look(memory)
    found = adopt(Workspace(memory), NAME)
    assert look(memory) == before
    return found


def config_of(found: Adopted) -> Any:
    """What the config says."""
    return bounded_yaml.load(found.files[CONFIG])


def write(found: Adopted, folder: Path) -> Project:
    """The project with these files and one recorded request."""
    for name, text in found.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "requests.jsonl").write_text('{"request": 1}\n')
    return project.load(folder / CONFIG)


def is_live(memory: Memory, found: Project) -> bool:
    """Whether a rollout has nothing to do."""
    return begin(Workspace(memory), found, OWNERS["ann"], gone=None, begun_before=False) is None


@pytest.mark.parametrize("tags", [{}, {"saferollout.revision": "0123456789ab", "saferollout.rollout": "r"}])
def test_what_was_written_is_live_until_somebody_changes_it(project_files: Path, tags: dict[str, str]) -> None:
    """Whoever made the deployment, also an earlier rollout of other files; another model in place is a change."""
    memory = make_endpoint()
    deploy(memory, "blue", 1, 2, tags=tags)
    found = write(adopted(memory), project_files)
    deploy(memory, "blue", 1, 5, tags=tags)  # an autoscaler's
    assert is_live(memory, found)

    deploy(memory, "blue", 3, 5, tags=tags)

    assert not is_live(memory, found)


def test_files_name_each_other(project_files: Path) -> None:
    """They say where they come from, and nothing that has a default."""
    found = adopted(make_endpoint())

    assert found.files.keys() == {CONFIG, ENDPOINT, DEPLOYMENT}
    assert config_of(found) == {"endpoint": ENDPOINT, "deployment": DEPLOYMENT}
    assert all(text.startswith("# Written by `saferollout init shop` from") for text in found.files.values())
    assert (found.live, found.left_out, found.is_collecting) == ("blue", (), False)
    assert write(found, project_files).endpoint == NAME


@pytest.mark.parametrize(
    ("live", "others", "slots"),
    [
        ("prod", (), ["prod", "blue"]),
        ("prod", ("blue",), ["prod", "green"]),
        ("green", ("blue",), ["green", "candidate"]),
        ("Prod", (), ["next", "blue"]),
    ],
)
def test_slots_are_free_names(project_files: Path, live: str, others: tuple[str, ...], slots: list[str]) -> None:
    """A deployment that is not the rollout's is never in the way, and the candidate can be made."""
    memory = make_endpoint(live)
    for name in others:
        deploy(memory, name, 7)
    found = adopted(memory)

    assert config_of(found)["slots"] == slots
    assert is_live(memory, write(found, project_files))
    deploy(memory, live, 2)
    assert not is_live(memory, write(found, project_files))


def test_what_yaml_cannot_say_stands_in_the_file(project_files: Path) -> None:
    """Whoever reads the file knows what a rollout would lose, and it is not live already."""
    memory = make_endpoint()
    resource = look(memory).deployments["blue"].resource
    resource["properties"]["startupProbe"] = {"timeout": "PT1S"}
    memory.put_deployment(NAME, "blue", resource)
    found = adopted(memory)

    assert found.left_out == ("startupProbe",)
    assert "# NOT in this file, as Azure ML YAML cannot say it: startupProbe\n" in found.files[DEPLOYMENT]
    assert not is_live(memory, write(found, project_files))


def test_what_cannot_be_rolled_out_is_refused() -> None:
    """An endpoint that is not there, has no single live deployment or no model, or is being rolled out."""
    with pytest.raises(Missing):
        adopt(Workspace(Memory()), NAME)

    memory = make_endpoint()
    edit(memory, traffic={})
    with pytest.raises(Refused, match="a rollout starts where one deployment has all of it"):
        adopt(Workspace(memory), NAME)

    memory = make_endpoint()
    resource = look(memory).deployments["blue"].resource
    resource["properties"]["model"] = None
    memory.put_deployment(NAME, "blue", resource)
    with pytest.raises(Refused, match="has no registered model"):
        adopt(Workspace(memory), NAME)

    memory = make_endpoint()
    begin(Workspace(memory), make_project(), OWNERS["ann"], gone=None, begun_before=False)
    with pytest.raises(Refused, match="is unfinished; let it end"):
        adopt(Workspace(memory), NAME)
