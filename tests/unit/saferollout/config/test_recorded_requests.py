"""Recorded requests: one JSON object a line, and an even sample of them."""

import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.config import recorded_requests
from saferollout.config.recorded_requests import RecordedRequest, Recording, read_requests, sample
from saferollout.domain.errors import ConfigError, Problem

LINES = (
    'write one request a line, like {"request": {"data": [[1, 2]]}}; a file that is one request\'s body ends in .json'
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the current folder, to be written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "requests.jsonl"


def problems_of(file: Path) -> list[Problem]:
    """The problems with which the file is refused."""
    with pytest.raises(ConfigError) as caught:
        read_requests(file)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    "content",
    [
        '{"request": 1}\n{"request": 2}\n',
        '{"request": 1}\r\n\r\n{"request": 2}',
        '\ufeff{"request": 1}\n \n{"request": 2}\n\n',
    ],
    ids=["plain", "from Windows", "byte order mark"],
)
def test_lines_are_requests(file: Path, content: str) -> None:
    """Blank lines, either line end and a byte order mark make no difference."""
    file.write_bytes(content.encode())

    assert read_requests(file) == [RecordedRequest(request=1), RecordedRequest(request=2)]


def test_a_line_may_hold_any_character(file: Path) -> None:
    """Unicode's own line ends are text in JSON, not the end of a line."""
    file.write_text('{"id": "x", "request": "a\u2028b\u0085c", "answer": null}\n', encoding="utf-8")

    assert read_requests(file) == [RecordedRequest(id="x", request="a\u2028b\u0085c")]


def test_each_bad_line_is_reported_with_its_number(file: Path) -> None:
    """Good lines do not hide bad ones, and blank lines count."""
    file.write_text('{"request": 1}\n\n{"id": 7, "request": 1}\nnothing\n[1]\n', encoding="utf-8")

    assert problems_of(file) == [
        Problem("requests.jsonl", "id", "7 does not fit", "write text, in quotes if it is all digits", 3),
        Problem("requests.jsonl", "", "is not valid JSON: expected ident at column 2", LINES, 4),
        Problem("requests.jsonl", "", "[1] does not fit", LINES, 5),
    ]


@pytest.mark.slow
def test_many_bad_lines_are_ten_and_a_count(file: Path) -> None:
    """A file of another kind does not fill the screen; the first problem shows what a line looks like."""
    file.write_text('{"data": [[1, 2]]}\n' * 20_000, encoding="utf-8")

    found = problems_of(file)

    assert found[0] == Problem("requests.jsonl", "request", "required, but not there", LINES, 1)
    assert [problem.line for problem in found] == [*range(1, 11), 0]
    assert found[-1].problem == "has 19990 more problems"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_has_not_are_reported(file: Path, number: str) -> None:
    """They could not be sent: better said now than when the smoke test runs."""
    file.write_text('{"request": {"data": [[%s]]}}\n' % number, encoding="utf-8")  # noqa: UP031 -- braces

    assert problems_of(file) == [Problem("requests.jsonl", "request", "NaN and infinity are not JSON", "write null", 1)]


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_requests_is_reported(file: Path, content: str) -> None:
    """A gate that checks nothing would pass everything."""
    file.write_text(content, encoding="utf-8")

    assert problems_of(file) == [
        Problem("requests.jsonl", "", "holds no request", 'write lines like {"request": {"data": [[1, 2]]}}')
    ]


@pytest.mark.parametrize(
    "content",
    [
        '{"data": [\n  [1, 2]\n]}',
        '\ufeff{"data": [[1, 2]]}\r\n',
        '[1, "a\nb"]',
        '{"request": 1, "data": "é\u2028"}',
        "0",
    ],
    ids=["on several lines", "byte order mark", "line end in a text", "a key of that name", "a number"],
)
def test_a_json_file_is_one_request(file: Path, content: str) -> None:
    """As every Azure project has one: all of it is the body, and a run keeps it as a line like others."""
    body = file.with_name("sample-request.json")
    body.write_bytes(content.encode())

    (found,) = read_requests(body)
    kept = Recording.read(body)

    assert found == RecordedRequest(request=json.loads(content.removeprefix("\ufeff"), strict=False))
    assert (kept.requests(), kept.total, kept.summary()[:4]) == ([found], 1, "1 (`")


def test_a_folder_of_json_files_is_several_requests(file: Path) -> None:
    """By name; other files, and folders in it, make no difference."""
    folder = file.with_name("samples")
    (folder / "more").mkdir(parents=True)
    for name, content in (("b.json", "[2]"), ("a.JSON", "[1]"), ("c.json", "[ 1 ]"), ("readme.md", "#")):
        (folder / name).write_text(content, encoding="utf-8")

    assert [request.request for request in read_requests(folder)] == [[1], [2], [1]]
    assert Recording.read(folder).summary().startswith("3, 2 distinct (`")


@pytest.mark.parametrize(
    ("content", "problem", "line"),
    [
        ('{"data":\n [1, 2}', "is not valid JSON: Expecting ',' delimiter", 2),
        ('{"request": 1}\n{"request": 2}\n', "is not valid JSON: Extra data", 2),
        ("[NaN]", "holds numbers or levels beyond what JSON readers take", 0),
        ("[1e999]", "holds numbers or levels beyond what JSON readers take", 0),
        ("[" * 100_000, "holds numbers or levels beyond what JSON readers take", 0),
        ("[" * 300 + "]" * 300, "is not valid JSON: recursion limit exceeded", 0),
        ('"\\ud800"', "is not valid JSON: unexpected end of hex escape", 0),
        (" \n", "holds no request", 0),
    ],
    ids=["cut off", "lines", "NaN", "infinity", "brackets", "deep", "half a character", "blank"],
)
def test_a_json_file_that_is_no_request_is_reported(file: Path, content: str, problem: str, line: int) -> None:
    """With its line where there is one, and what the other form of recorded requests is."""
    body = file.with_name("sample-request.json")
    body.write_text(content, encoding="utf-8")

    (found,) = problems_of(body)

    assert (found.file, found.problem, found.line) == ("sample-request.json", problem, line)
    assert found.remedy.endswith('lines like {"request": {"data": [[1, 2]]}} go into a .jsonl file')


def test_all_mistakes_of_a_folder_are_reported(file: Path) -> None:
    """Each file's, and what is in it that cannot be read; a folder without requests is a mistake, too."""
    folder = file.with_name("samples")
    folder.mkdir()
    assert problems_of(folder) == [
        Problem("samples", "", "holds no .json file", "put .json files there, each the body of one request")
    ]
    (folder / "a.json").mkdir()
    os.mkfifo(folder / "b.json")
    for name in ("c.json", "d.json"):
        (folder / name).write_text("{", encoding="utf-8")

    assert [(problem.file, problem.problem) for problem in problems_of(folder)] == [
        ("samples/a.json", "is not a file"),
        ("samples/b.json", "is not a file"),
        ("samples/c.json", "is not valid JSON: Expecting property name enclosed in double quotes"),
        ("samples/d.json", "is not valid JSON: Expecting property name enclosed in double quotes"),
    ]


def test_a_file_that_is_no_text_is_reported(file: Path) -> None:
    """A compressed file, say."""
    file.write_bytes(b"\x1f\x8b\x08\xff")

    assert problems_of(file) == [
        Problem("requests.jsonl", "", "cannot be read: invalid UTF-8 at byte 1", "give a readable UTF-8 file", 1)
    ]


@given(st.integers(1, 300), st.integers(1, 100))
def test_a_sample_is_even_and_has_both_ends(count: int, size: int) -> None:
    """A sample has the size asked for, no request twice, the file's order, and gaps that differ by one at most."""
    requests = [RecordedRequest(id=str(index), request=index) for index in range(count)]

    taken = [request.request for request in sample(requests, size)]

    assert len(taken) == min(count, size)
    assert taken == sorted(set(taken))
    assert taken[0] == 0
    if size > 1:
        gaps = {later - earlier for earlier, later in itertools.pairwise(taken)}
        assert taken[-1] == count - 1
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_recording_is_the_files_own_lines(file: Path) -> None:
    """Nothing is lost on the way through Prefect's storage: numbers, unknown answers and any character stay."""
    content = '{"request": [1.0, 0.1, 12345678901234567890]}\n\n{"id": "é\u2028", "request": 1, "answer": null}\r\n'
    file.write_text(content, encoding="utf-8")

    found = Recording.model_validate_json(Recording.read(file).model_dump_json())

    assert found.requests() == read_requests(file)
    assert found.summary().startswith("2 (`")


def test_a_large_recording_is_kept_as_an_even_sample(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run keeps is bounded, and says of how many it is; a single request is kept whatever its size."""
    monkeypatch.setattr(recorded_requests, "MAX_KEPT_CHARACTERS", 1000)
    file.write_text("".join(f'{{"request": "{number:04}"}}\n' for number in range(500)), encoding="utf-8")

    found = Recording.read(file)

    kept = [int(request.request) for request in found.requests()]
    assert 900 < len(found.text) <= 1000
    assert (kept[0], kept[-1]) == (0, 499)
    gaps = {later - earlier for earlier, later in itertools.pairwise(kept)}
    assert max(gaps) - min(gaps) <= 1
    assert found.summary().startswith(f"{len(kept)} of 500 (`")

    file.write_text('{"request": "' + "x" * 2000 + '"}\n', encoding="utf-8")
    assert len(Recording.read(file).requests()) == 1
