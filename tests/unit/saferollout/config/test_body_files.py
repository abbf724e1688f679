"""Recorded requests whose bodies are not JSON: files of their own, which lines name."""

import json
from pathlib import Path
from typing import Any

import pytest

from saferollout.config import body_files, project, recorded_requests
from saferollout.config.recorded_requests import Compare, RecordedRequest, Recording, read_requests
from saferollout.domain.errors import ConfigError, Problem
from tests.support.documents import texts

BYTES = bytes(range(256))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the current folder, to be written, with bodies beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bodies").mkdir()
    for name, content in (("cat.png", BYTES), ("data.unknown", b"a,b\n"), ("empty.png", b"")):
        (tmp_path / "bodies" / name).write_bytes(content)
    return tmp_path / "requests.jsonl"


def write(file: Path, *lines: dict[str, Any]) -> None:
    """Write lines of JSON."""
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def test_a_body_is_the_bytes_of_its_file(file: Path) -> None:
    """With the type that the line says, else the one of the file's ending."""
    write(
        file,
        {"id": "a", "body_file": "bodies/cat.png", "compare": "bytes"},
        {"body_file": "bodies/data.unknown", "content_type": "text/csv; charset=utf-8", "answer": [1]},
        {"body_file": "bodies/data.unknown", "compare": "none"},
        {"request": {"body_file": "bodies/cat.png"}, "content_type": "application/json; format=pandas"},
    )

    assert read_requests(file) == [
        RecordedRequest(id="a", request=None, body=BYTES, content_type="image/png", compare=Compare.BYTES),
        RecordedRequest(request=None, body=b"a,b\n", content_type="text/csv; charset=utf-8", answer=[1]),
        RecordedRequest(request=None, body=b"a,b\n", content_type=body_files.OTHER, compare=Compare.NONE),
        RecordedRequest(request={"body_file": "bodies/cat.png"}, content_type="application/json; format=pandas"),
    ]


def test_the_lines_of_the_documentation_are_requests(file: Path) -> None:
    """As docs/requests.md has them, where the files are there."""
    (lines,) = texts("docs/requests.md", "A line", "json")
    (file.parent / "requests").mkdir()
    for name in ("cat.png", "rows.csv", "voice.wav"):
        (file.parent / "requests" / name).write_bytes(BYTES)
    file.write_text(lines)

    found = read_requests(file)

    assert [each.compare for each in found] == [None, Compare.BYTES, None, Compare.NONE]
    assert [each.content_type for each in found[:3]] == ["", "image/png", "text/csv"]
    assert found[3].content_type.startswith("audio/")


def test_a_run_keeps_the_bodies_that_it_began_with(file: Path) -> None:
    """Another file is another recording; what becomes of the files meanwhile changes no gate's requests."""
    write(file, {"body_file": "bodies/cat.png"}, {"body_file": "bodies/cat.png"}, {"request": None})
    read = read_requests(file)
    kept = Recording.model_validate_json(Recording.read(file).model_dump_json())
    (file.parent / "bodies" / "cat.png").write_bytes(BYTES[::-1])

    assert kept.requests() == read
    assert kept.summary().startswith("3, 2 distinct (`")
    assert kept.summary() != Recording.read(file).summary()


def test_large_bodies_are_sampled_like_long_lines(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run keeps is bounded, and spread over the file; what is left out is not even read."""
    monkeypatch.setattr(recorded_requests, "MAX_KEPT_CHARACTERS", 2000)
    for number in range(20):
        (file.parent / f"{number}.bin").write_bytes(bytes([number]) * 300)
    write(file, *({"body_file": f"{number}.bin"} for number in range(20)))

    kept = Recording.read(file)

    assert len(kept.text) <= 2000
    assert kept.total == 20
    assert [each.body[0] for each in kept.requests() if each.body] == [0, 6, 13, 19]


@pytest.mark.parametrize(
    ("line", "key", "problem"),
    [
        ({"body_file": "bodies/dog.png"}, "body_file", "no such file: bodies/dog.png"),
        ({"body_file": "bodies"}, "body_file", "is a folder: bodies"),
        ({"body_file": "bodies/empty.png"}, "body_file", "is empty: bodies/empty.png"),
        ({"body_file": "bodies/large.png"}, "body_file", "is larger than 16 MiB: bodies/large.png"),
        ({"body_file": "../secret"}, "body_file", "'../secret' leads out of the folder of this file"),
        ({"body_file": "/etc/hostname"}, "body_file", "'/etc/hostname' leads out of the folder of this file"),
        ({"body_file": 1}, "body_file", "1 does not fit"),
        ({"body_file": ""}, "body_file", "is empty"),
        ({"body_file": "bodies/cat.png", "request": 1}, "request", "is given beside body_file"),
        ({"body_file": "bodies/cat.png", "content_type": "png"}, "content_type", "'png' is not a media type"),
        ({"request": 1, "content_type": "a/b\r\nx: y"}, "content_type", r"'a/b\r\nx: y' is not a media type"),
        ({"body_file": "bodies/cat.png", "compare": "pixels"}, "compare", "'pixels' does not fit"),
        ({"body_file": "bodies/cat.png", "compare": "none", "answer": 1}, "answer", "as compare is none"),
        ({"request": 1, "compare": "bytes", "answer": 1}, "answer", "as compare is bytes"),
        ({"body_file": "bodies/cat.png", "colour": 1}, "colour", "unknown key"),
        ({"request": 1, "body": "aGk="}, "body", "unknown key"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_each_mistake_has_file_line_and_remedy(file: Path, line: dict[str, Any], key: str, problem: str) -> None:
    """Nothing that could not be sent, or is nobody else's to read, is left to the run."""
    with (file.parent / "bodies" / "large.png").open("wb") as large:
        large.truncate(body_files.MAX_BYTES + 1)
    write(file, {"request": 0}, line)

    with pytest.raises(ConfigError) as caught:
        read_requests(file)

    (found,) = caught.value.problems
    assert (found.file, found.line, found.key) == ("requests.jsonl", 2, key)
    assert problem in found.problem
    assert found.remedy


def test_a_project_reports_a_body_that_is_missing(project_files: Path) -> None:
    """As any other mistake, before anything is called."""
    write(project_files / "requests.jsonl", {"body_file": "cat.png"})

    with pytest.raises(ConfigError) as caught:
        project.load("rollout.yaml")

    remedy = "correct the path (it starts at this file)"
    assert caught.value.problems == (Problem("requests.jsonl", "body_file", "no such file: cat.png", remedy, 1),)
