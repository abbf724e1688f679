"""Malformed files by the hundred: each is read, or refused with problems that name what is wrong, within its time."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.request import read_event
from saferollout.config.rollout import RolloutConfig
from saferollout.domain.errors import ConfigError, Problem
from tests.unit.conftest import CONFIG, FILES

pytestmark = pytest.mark.slow

LONGEST_S = 10.0
"""How long one file may take on a machine that is busy."""
HOSTILE = [
    "!!timestamp abc",
    '!!int ""',
    "!!bool abc",
    "!!map [a]",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!binary x",
    "!x 1",
    "&a [*a]",
    "*a",
    "<<: *a",
    "{<<: 3}",
    '"\\0"',
    '"\\ud800"',
    '"\\UFFFFFFFF"',
    "a" * 5000,
    "../" * 1500,
    "/dev/zero",
    "/",
    "~",
    "file:x",
    "file:conda.yml",
    "azureml:",
    "azureml:a@b",
    "runs:/a/b",
    "http://[",
    "${NOWHERE_SET}",
    "${HOME}",
    "2024-13-45",
    ".nan",
    ".inf",
    "9" * 5000,
    "1e999",
    "[" * 60,
    "? [a]\n: 1",
    "---",
    "%YAML 9",
    "\t",
    "\x07",
    "\ufeff",
    "{1: 2, null: 3, 2.5: x}",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({*RolloutConfig.model_fields, "name", "model", "environment", "instance_count"})
RUN = settings(derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def as_yaml(value: Any) -> str:
    """A value as JSON, which is YAML, with hostile snippets as they are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_yaml(key)}: {as_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    return value if isinstance(value, str) else str(value)


@st.composite
def contents(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of the project, and what is written over it: a snippet put in, cut, doubled, or something else at all."""
    name = draw(st.sampled_from([name for name in FILES if name not in ("model.bin", "src/score.py")] + ["s.json"]))
    text = FILES.get(name, '{"type": "array", "items": {"pattern": "^a+$"}}')
    snippet = as_yaml(draw(VALUES))
    at = draw(st.integers(0, len(text)))
    how = draw(st.sampled_from(["put in", "cut", "key", "value", "whole", "bytes"]))
    if how == "bytes":
        return name, draw(st.binary(max_size=50)) + text[at:].encode()
    lines = text.splitlines()
    line = draw(st.integers(0, len(lines) - 1))
    key = lines[line].partition(":")[0]
    made = {
        "put in": text[:at] + snippet + text[at:],
        "cut": text[:at],
        "key": f"{text}\n{draw(st.sampled_from(KEYS))}: {snippet}\n",
        "value": "\n".join([*lines[:line], f"{key}: {snippet}", *lines[line + 1 :]]) + "\n",
        "whole": snippet,
    }
    return name, made[how].encode(errors="surrogatepass")


@pytest.fixture
def counts(record_property: Any) -> Iterator[Counter[str]]:
    """What became of the examples; printed at the end of all tests."""
    made: Counter[str] = Counter()
    yield made
    record_property("counted", ", ".join(f"{count} {what}" for what, count in sorted(made.items())))


def problems_of(read: Callable[[], object]) -> tuple[Problem, ...]:
    """The problems with which something is refused; none where it is read."""
    try:
        read()
    except ConfigError as error:
        return error.problems
    return ()


def test_malformed_files_are_refused_with_problems(project_files: Path, counts: Counter[str]) -> None:
    """Whatever one of the files holds, reading ends in time with a project, or with problems of file and remedy."""
    config = CONFIG + "smoke_test: {answer_schema: s.json}\n"

    @settings(RUN, max_examples=250)
    @given(contents())
    def read(made: tuple[str, bytes]) -> None:
        for name, text in ({"s.json": "{}"} | FILES | {"rollout.yaml": config}).items():
            (project_files / name).write_text(text, encoding="utf-8")
        name, content = made
        (project_files / name).write_bytes(content)
        begun = time.monotonic()
        found = problems_of(lambda: project.load("rollout.yaml", sdk=yaml_files))
        assert time.monotonic() - begun < LONGEST_S
        counts["files refused" if found else "files read"] += 1
        assert all(problem.file and problem.problem and problem.remedy for problem in found)
        assert all(len(str(problem)) < 2000 for problem in found)

    read()

    assert counts["files refused"] > counts["files read"] > 0


# an event may be far larger than what hypothesis would print of it
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_malformed_events_are_refused_with_problems(counts: Counter[str]) -> None:
    """Whatever an event holds."""
    models = VALUES | st.fixed_dictionaries({"name": VALUES, "version": VALUES})
    payloads = st.fixed_dictionaries({}, optional={"config": VALUES, "model": models, "more": VALUES})

    @settings(RUN, max_examples=400)
    @given(payloads.map(json.dumps) | st.text(max_size=50))
    def read(payload: str) -> None:
        found = problems_of(lambda: read_event(payload))
        counts["events refused" if found else "events read"] += 1
        assert all(problem.file == "event" and problem.problem and problem.remedy for problem in found)

    read()

    assert counts["events refused"] > counts["events read"] > 0
