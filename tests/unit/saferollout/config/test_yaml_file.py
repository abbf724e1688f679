"""YAML files for people: what is read, what is filled in, and how a mistake is put."""

import os
from pathlib import Path

import pytest

from saferollout.config import bounded_yaml, yaml_file
from saferollout.config.rollout import StageConfig
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


def test_words_are_text_and_settings_take_them_all_the_same(file: Path) -> None:
    """In YAML 1.2 a label `no` is a word; where true or false is asked for, it switches off all the same."""
    file.write_text("stages:\n- {traffic: 100, approval: no}\nlabels: [yes, n, true, 010]\n", encoding="utf-8")

    content = yaml_file.read(file)

    assert content["labels"] == ["yes", "n", True, 10]
    assert not StageConfig.model_validate(content["stages"][0]).approval


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        (b"name: gr\xfcn\n", (1, 0), "cannot be read: invalid UTF-8 at byte 8"),
        (b"name: 'x\n", (2, 1), "YAML syntax error: found unexpected end of stream"),
        (b"a: 1\n b: 2\n", (2, 3), "YAML syntax error: mapping values are not allowed here"),
        (b"b: 1\na: \x01\n", (2, 4), "YAML syntax error: special characters are not allowed"),
        (b"a: *b\n", (1, 4), "YAML syntax error: found undefined alias 'b'"),
        (b"a: !x 1\n", (1, 4), "YAML syntax error: could not determine a constructor for the tag '!x'"),
        (b"a: {b: 1,\n  b: [1, 2]}\n", (2, 3), 'YAML syntax error: found duplicate key "b"'),
        (b"a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a\n", (4, 3), 'YAML syntax error: found duplicate merge key "<<"'),
        (b"a:\n  - 2024-02-30\n", (2, 5), "is not valid YAML: day is out of range for month"),
        (b"a: !!int x\n", (1, 4), "is not valid YAML: invalid literal for int() with base 10: 'x'"),
        (b'a: "\\UFFFFFFFF"\n', (0, 0), "is not valid YAML: Python int too large to convert to C int"),
        (b"just text\n", (0, 0), "holds no mapping of keys to values"),
    ],
)
def test_what_cannot_be_read_is_reported(file: Path, content: bytes, place: tuple[int, int], problem: str) -> None:
    """Whatever stands in the file, there is one problem with the file's name, the place and a remedy."""
    file.write_bytes(content)

    found = problem_of(file)

    assert (found.file, found.key, (found.line, found.column), found.problem) == ("some.yaml", "", place, problem)
    assert found.remedy


ALIASES = "".join(f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]\n" for number in range(1, 20))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"a0: &a0 [x]\n{ALIASES}", bounded_yaml.TOO_LARGE),
        (f"a0: &a0 {{x: 1}}\n{ALIASES.replace('[', '{<<: [').replace(']', ']}')}", bounded_yaml.TOO_LARGE),
        ("a: &a\n  b: *a\n", bounded_yaml.TOO_DEEP),
        ("a: &a {<<: *a}\n", bounded_yaml.TOO_DEEP),
        (f"a: {'[' * 60}{']' * 60}\n", bounded_yaml.TOO_DEEP),
        (f"a: {'[' * 600}{']' * 600}\n", bounded_yaml.TOO_DEEP),
    ],
    ids=["aliases of aliases", "merges of merges", "alias of itself", "merge of itself", "deep", "very deep"],
)
def test_what_grows_without_bounds_is_reported(file: Path, content: str, problem: str) -> None:
    """A few lines can stand for billions of values: they are a mistake like any other, reported at once."""
    file.write_text(content, encoding="utf-8")

    assert problem_of(file).problem == problem


def test_each_problem_is_found_by_its_key(file: Path) -> None:
    """A problem has the line of its key, or of the section that lacks it; a key with dots is one as well."""
    file.write_text(
        "a.b: 1\na:\n  b: 2\n  c.d:\n    - {e: 1}\n    - f\n? [x]\n: 1\ng: {<<: {h: 1}}\n1: x\n", encoding="utf-8"
    )
    places = {
        "a.b": (1, 1),
        "a.c.d": (4, 3),
        "a.c.d[0].e": (5, 8),
        "a.c.d[1]": (6, 7),
        "a.c.d[2]": (4, 3),
        "a.gone.more": (2, 1),
        "gone": (0, 0),
        "[0]": (0, 0),
        "": (0, 0),
        "g.h": (9, 1),
        "1.x": (10, 1),
        "a.bc": (2, 1),
    }

    found = yaml_file.with_lines([Problem("some.yaml", key, "p", "r") for key in places])

    assert {problem.key: (problem.line, problem.column) for problem in found} == places


def test_a_problem_of_what_cannot_be_read_has_no_line(file: Path) -> None:
    """A line that is known already stays, and where nothing can be read none is made up."""
    file.write_text("a: [", encoding="utf-8")
    problems = [Problem("some.yaml", "a", "p", "r"), Problem("gone", "a", "p", "r"), Problem("gone", "a", "p", "r", 7)]

    assert yaml_file.with_lines(problems) == problems


def test_a_folder_cannot_be_read(file: Path) -> None:
    """A folder in a file's place is reported like any unreadable file."""
    assert problem_of(file.parent) == Problem(".", "", "cannot be read: Is a directory", "give a readable UTF-8 file")


def test_a_missing_file_is_reported(file: Path) -> None:
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

    filled = {"a": "x1y1", "b": ["${ONE}", 3], "c": {"d": None}, "e": "$ONE ${}"}
    assert yaml_file.fill_in(file, content) == (filled, [])


def test_every_unset_variable_is_reported_with_its_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is as good as none; whatever has one stays as written, and all else is filled in."""
    monkeypatch.delenv("GONE", raising=False)
    monkeypatch.setenv("EMPTY", "")

    content, problems = yaml_file.fill_in(file, {"a": {"b": [1, "${GONE}"]}, "c": "${EMPTY}", "d": "${HOME}"})

    assert content == {"a": {"b": [1, "${GONE}"]}, "c": "${EMPTY}", "d": os.environ["HOME"]}
    assert problems == [
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
