"""YAML files for people: what is read, what is filled in, and how a mistake is put."""

from pathlib import Path

import pytest

from saferollout.config import yaml_file
from saferollout.domain.errors import ConfigError, Problem


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the current folder, to be written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "some.yaml"


def problem_of(file: Path) -> Problem:
    """The only problem with which the file is refused."""
    with pytest.raises(ConfigError) as caught:
        yaml_file.read(file)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_a_mapping_is_returned(file: Path, mark: str) -> None:
    """Files are UTF-8, with or without the mark that Windows editors put first."""
    file.write_text(f"{mark}name: grün\nlist: [1, 2]\n", encoding="utf-8")

    assert yaml_file.read(file) == {"name": "grün", "list": [1, 2]}


@pytest.mark.parametrize(
    ("content", "key", "problem"),
    [
        (b"name: gr\xfcn\n", "", "cannot be read: invalid UTF-8 at byte 8"),
        (b"name: 'x\n", "line 2, column 1", "YAML syntax error: found unexpected end of stream"),
        (b"a: 1\n b: 2\n", "line 2, column 3", "YAML syntax error: mapping values are not allowed here"),
        (b"a: \x01\n", "", "YAML syntax error: special characters are not allowed"),
        (b"a: *b\n", "line 1, column 4", "YAML syntax error: found undefined alias 'b'"),
        (b"a: 2024-02-30\n", "", "is not valid YAML: day is out of range for month"),
        (b"just text\n", "", "holds no mapping of keys to values"),
    ],
)
def test_what_cannot_be_read_is_told(file: Path, content: bytes, key: str, problem: str) -> None:
    """Whatever the file holds, there is one problem with the file's name, the place and a remedy."""
    file.write_bytes(content)

    found = problem_of(file)

    assert (found.file, found.key, found.problem) == ("some.yaml", key, problem)
    assert found.remedy


def test_a_folder_cannot_be_read(file: Path) -> None:
    """A folder in a file's place is reported like any unreadable file."""
    assert problem_of(file.parent) == Problem(".", "", "cannot be read: Is a directory", "give a readable UTF-8 file")


def test_a_missing_file_is_told(file: Path) -> None:
    """The path is reported as the user would type it."""
    assert problem_of(file) == Problem("some.yaml", "", "no such file", "check the path")


def test_paths_are_shown_from_the_current_folder(file: Path) -> None:
    """Below the current folder a path is relative, elsewhere absolute: both can be pasted into a shell."""
    assert yaml_file.display_path(file) == "some.yaml"
    assert yaml_file.display_path(Path("sub/some.yaml")) == "sub/some.yaml"
    assert yaml_file.display_path(file.parent.parent) == str(file.parent.parent)


def test_variables_are_filled_in_wherever_they_stand(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${ENV}` works in every string, more than once, and leaves all other values alone."""
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("TWO", "${ONE}")
    content = {"a": "x${ONE}y${ONE}", "b": ["${TWO}", 3], "c": {"d": None}, "e": "$ONE ${}"}

    assert yaml_file.fill_in(file, content) == {"a": "x1y1", "b": ["${ONE}", 3], "c": {"d": None}, "e": "$ONE ${}"}


def test_every_unset_variable_is_told_with_its_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is as good as none."""
    monkeypatch.delenv("GONE", raising=False)
    monkeypatch.setenv("EMPTY", "")

    with pytest.raises(ConfigError) as caught:
        yaml_file.fill_in(file, {"a": {"b": [1, "${GONE}"]}, "c": "${EMPTY}"})

    assert list(caught.value.problems) == [
        Problem("some.yaml", key, f"environment variable {name} is not set", "export it or write the value")
        for key, name in (("a.b[1]", "GONE"), ("c", "EMPTY"))
    ]


@pytest.mark.parametrize(
    ("location", "key"),
    [((), ""), (("a",), "a"), (("stages", 0, "traffic"), "stages[0].traffic"), ((0,), "[0]"), (("a", 1, 2), "a[1][2]")],
)
def test_keys_read_as_people_write_them(location: tuple[str | int, ...], key: str) -> None:
    """A place in nested YAML is one word."""
    assert yaml_file.key_of(location) == key
