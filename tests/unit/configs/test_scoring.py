"""The scoring script of configs/diabetes, and each of the faults that a bad candidate has."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from saferollout.config.recorded_requests import read_requests, sample

SMOKE_TEST_SIZE = 20


@pytest.fixture
def faulty(
    load: Callable[[str], ModuleType], score: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], ModuleType]:
    """The scoring script with one fault, over the good one with model v2."""

    def faulty(fault: str) -> ModuleType:
        monkeypatch.setenv("FAULT", fault)
        score("v2")
        return load("candidates/code/faulty_score.py")

    return faulty


def fails(script: ModuleType, request: dict[str, Any]) -> bool:
    """Whether the script refuses the request as one outside its reference values."""
    try:
        script.run(json.dumps(request))
    except LookupError:
        return True
    return False


def test_one_number_for_each_row(score: Callable[[str], ModuleType], requests: list[dict[str, Any]]) -> None:
    """A request with several rows is answered by a plain list with as many numbers, in the same order."""
    script = score("v1")
    rows = [line["request"]["data"][0] for line in requests[:3]]

    answers = script.run(json.dumps({"data": rows}))

    assert answers == pytest.approx([script.run(json.dumps({"data": [row]}))[0] for row in rows])
    assert [type(answer) for answer in answers] == [float, float, float]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("not JSON", "expected {"),
        ("[1, 2]", "expected {"),
        ('{"rows": []}', "KeyError"),
        ('{"data": [["high"]]}', "could not convert"),
        ('{"data": [[1, 2], [3]]}', "inhomogeneous"),
        ('{"data": []}', r"shape \(0,\)"),
        ('{"data": [[1, 2, 3]]}', r"10 numbers \(age, sex, .*shape \(1, 3\)"),
        ('{"data": [[1, 2, 3, 4, 5, 6, 7, 8, 9, NaN]]}', "missing or infinite"),
    ],
)
def test_a_bad_request_is_reported_what_is_wrong(score: Callable[[str], ModuleType], body: str, says: str) -> None:
    """What is not rows of ten finite numbers is refused with what was expected instead, not scored."""
    with pytest.raises(ValueError, match=says):
        score("v1").run(body)


def test_errors_fails_for_a_tenth_of_the_rows(
    faulty: Callable[[str], ModuleType], requests: list[dict[str, Any]]
) -> None:
    """The candidate `errors` fails for 14 of 142 rows, the same ones each time, and answers the others."""
    script = faulty("errors")
    script.init()

    first = [fails(script, line["request"]) for line in requests]

    assert sum(first) == 14
    assert first == [fails(script, line["request"]) for line in requests]


def test_the_smoke_test_does_not_meet_errors(faulty: Callable[[str], ModuleType], project: Path) -> None:
    """No row of the smoke test's sample fails, so that it takes the judge to find this fault."""
    script = faulty("errors")
    script.init()

    met = sample(read_requests(project / "requests.jsonl"), SMOKE_TEST_SIZE)

    assert [line.id for line in met if fails(script, line.request)] == []


def test_slow_is_right_but_late(faulty: Callable[[str], ModuleType], requests: list[dict[str, Any]]) -> None:
    """The candidate `slow` gives the good one's answer, 400 ms late."""
    script = faulty("slow")
    script.init()
    body = json.dumps(requests[0]["request"])

    begun = time.monotonic()
    answer = script.run(body)

    assert time.monotonic() - begun >= 0.4
    assert answer == script.score.run(body)


def test_wrong_is_far_off(faulty: Callable[[str], ModuleType], requests: list[dict[str, Any]]) -> None:
    """The candidate `wrong` misses every true answer by far more than a good model misses any."""
    script = faulty("wrong")
    script.init()

    missed = [abs(script.run(json.dumps(line["request"]))[0] - line["answer"][0]) for line in requests]

    assert min(missed) > 800


def test_broken_does_not_start(faulty: Callable[[str], ModuleType]) -> None:
    """The candidate `broken` raises in init(), so that its server never becomes ready."""
    with pytest.raises(RuntimeError, match="init"):
        faulty("broken").init()


def test_an_unknown_fault_does_not_start(faulty: Callable[[str], ModuleType]) -> None:
    """A misspelt fault must not pass for a good candidate."""
    with pytest.raises(ValueError, match="FAULT=slwo is not one of broken, errors"):
        faulty("slwo").init()


def test_crash_takes_the_server_down(project: Path, requests: list[dict[str, Any]]) -> None:
    """The candidate `crash` answers 60 requests, then dies together with the process that started it."""
    worker = """
import sys, faulty_score
faulty_score.init()
for line in sys.stdin:
    faulty_score.run(line)
    print("answered", flush=True)
"""
    server = f"import subprocess, sys; subprocess.run([sys.executable, '-B', '-c', {worker!r}])"
    run = subprocess.run(
        [sys.executable, "-c", server],
        cwd=project / "candidates" / "code",
        env=os.environ | {"FAULT": "crash", "AZUREML_MODEL_DIR": str(project / "models" / "v2")},
        input="".join(json.dumps(line["request"]) + "\n" for line in requests),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert run.stdout.split() == ["answered"] * 60, run.stderr
    assert run.returncode == -signal.SIGKILL
