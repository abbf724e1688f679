"""Malformed requests, by each of the five ways: refused with a reason, and nothing is started."""

import itertools
import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jinja2.utils import htmlsafe_json_dumps
from prefect.exceptions import ParameterBindError, ParameterTypeError
from prefect.utilities.callables import get_call_parameters
from typer.testing import CliRunner

import saferollout
from flows.rollout import rollout
from saferollout.config.request import read_event, read_request
from saferollout.domain.errors import ConfigError
from saferollout_cli.commands import app
from tests.support.handoff import deployment, post, runs
from tests.support.prefect import Server
from tests.support.stack import REPOSITORY, wait_for

pytestmark = pytest.mark.xdist_group("handoff")  # one server

LEAST = 200
GOOD = {"config": "rollout", "model": {"name": "m", "version": "1"}, "by": "eve", "why": "new data", "overrides": {}}
BAD: dict[str, list[Any]] = {
    "config": [5, None, "", [], {}],
    "model": [5, [], True, {}, {"name": "m"}, {"name": "a/b", "version": "1"}, {"name": "m", "version": "1/2"}],
    "by": [5, None, [], {}, "x" * 201],
    "why": [5, None, {}, "x" * 1001],
    "request_id": [5, None, "a b", "-a", "é", "x" * 129],
    "overrides": [
        5,
        "x",
        {"workspace": {"name": "mine"}},
        {"stages.approval": False},
        {"stages.judge": {}},
        {"when_busy": "supersede"},
        {"live.instance_count": 0},
        {"live.instance_count": 51},
        {"live.instance_count": 1.5},
        {"stages.approval_timeout_s": 0},
        {"stages.approval_timeout_s": "soon"},
    ],
    "approval": [False],
}
TYPED = {
    "--model": [
        "",
        "5",
        "m",
        "m:",
        ":1",
        "m:1:2",
        "a/b:1",
        "m:1/2",
        "m 1:1",
        "é:1",
        "m@v1",
        "azureml:azureml:m:1",
        "x" * 300,
    ],
    "--why": ["x" * 1001],
    "--request-id": ["a b", "-a", "é", "x" * 129, "a\nb"],
    "--set": [
        "x",
        "=",
        "=1",
        "when_busy",
        "when_busy=",
        "when_busy=[",
        "when_busy=supersede",
        "when_busy={refuse: 1}",
        "workspace.name=mine",
        "stages.approval=false",
        "stages.judge={}",
        "live.instance_count=0",
        "live.instance_count=51",
        "live.instance_count=1.5",
        "live.instance_count=many",
        "stages.approval_timeout_s=0",
        "stages.approval_timeout_s=soon",
    ],
    "--ignore-freeze": [" "],
}
"""What does not fit on the command line, by its option."""


def pairs(singles: list[tuple[str, Any]]) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    """Some two hundred of all pairs of mistakes in different places."""
    found = [(one, other) for one, other in itertools.combinations(singles, 2) if one[0] != other[0]]
    return found[:: max(len(found) // LEAST, 1)]


def malformed() -> list[dict[str, Any]]:
    """Good requests but for one value, or for two."""
    singles = [(key, value) for key, values in BAD.items() for value in values]
    return [GOOD | dict([pair]) for pair in singles] + [GOOD | dict(pair) for pair in pairs(singles)]


def mistyped() -> list[list[str]]:
    """Good commands but for the config, for one option, or for two."""
    singles = [(option, text) for option, texts in TYPED.items() for text in texts]
    wrong = [[pair] for pair in singles] + [list(pair) for pair in pairs(singles)]
    configs = ["", "no-such-config", "configs", "/etc/passwd", "configs/rollout.schema.json", "x" * 300, "a\0b"]
    return [["submit", "rollout", *(f"{option}={text}" for option, text in each)] for each in wrong] + [
        ["submit", config] for config in configs
    ]


def reasons_of(error: ConfigError) -> list[str]:
    """What is wrong, each with what would be right."""
    assert error.problems
    assert all(problem.problem and problem.remedy for problem in error.problems)
    return [str(problem) for problem in error.problems]


@pytest.fixture
def count(record_property: Any) -> Any:
    """Checks that enough were refused, and prints how many."""

    def check(**refused: int) -> None:
        for way, number in refused.items():
            record_property(way, number)
        assert sum(refused.values()) >= LEAST

    return check


def test_on_the_command_line(server: Server, count: Any) -> None:
    """Each command ends with its mistakes.

    They run in this process, but one, which shows them as a user sees them.
    """
    before = len(runs(server))
    commands = mistyped()
    for command in commands:
        found = CliRunner().invoke(app, command).exception
        assert isinstance(found, ConfigError), (command, found)
        assert reasons_of(found)
    program = str(Path(sys.executable).parent / "saferollout")
    wrong = ["submit", "rollout", "--request-id=a b", "--set=live.instance_count=0", "--json"]
    done = subprocess.run(
        [program, *wrong], env=server.env, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert [problem["key"] for problem in json.loads(done.stdout)["problems"]] == [
        "request_id",
        "overrides.live.instance_count",
    ]
    assert "Traceback" not in done.stderr
    assert len(runs(server)) == before
    count(refused=len(commands) + 1)


def test_in_python(server: Server, count: Any) -> None:
    """`saferollout.submit` raises at once, with every mistake."""
    before = len(runs(server))
    requests = [request for request in malformed() if "approval" not in request]  # Python itself knows no such argument
    for request in requests:
        with pytest.raises(ConfigError) as caught:
            saferollout.submit(**request)
        assert reasons_of(caught.value)
    assert len(runs(server)) == before
    count(refused=len(requests))


def test_as_events(server: Server, count: Any) -> None:
    """Each event makes a run, which is to be seen; what it got is refused by what reads it there first of all.

    Some go through the server, which writes them into the run's parameter: the others are read as it writes them.
    """
    before = len(runs(server))
    requests = malformed()
    sent = requests[::12]
    made = {"event": "saferollout.requested", "resource": {"prefect.resource.id": "saferollout.fuzz"}}
    made |= {"occurred": datetime.now(UTC).isoformat()}
    assert post(server, "/events", [made | {"id": str(uuid.uuid4()), "payload": payload} for payload in sent])[0] == 204

    def look() -> list[str] | None:
        found = [run["parameters"].get("event", "") for run in runs(server)[before:]]
        return found if len(found) >= len(sent) else None

    found = wait_for("a run for each event", look)
    assert sorted(found) == sorted(map(written, sent))
    for text in [*found, *(written(request) for request in requests if request not in sent)]:
        with pytest.raises(ConfigError) as caught:
            read_event(text)
        assert all(reason.startswith("event: ") for reason in reasons_of(caught.value))
    count(through_the_server=len(found), as_it_writes_them=len(requests) - len(found))


def written(payload: dict[str, Any]) -> str:
    """An event's payload as Jinja's `tojson` writes it."""
    return str(htmlsafe_json_dumps(payload, sort_keys=True))


def begin(request: dict[str, Any]) -> None:
    """What a run does with its parameters before anything else."""
    get_call_parameters(rollout.fn, (), request)
    rollout.validate_parameters(request)
    read_request(request)


def refused_by_run(request: dict[str, Any]) -> bool:
    """What Prefect's server cannot see itself, the run says before its flow begins."""
    with pytest.raises((ParameterTypeError, ParameterBindError, ConfigError)):
        begin(request)
    return True


def test_in_the_form(server: Server, count: Any) -> None:
    """The form of Prefect's UI shows what its own check finds, and does not start the run."""
    before = len(runs(server))
    schema = deployment(server)["parameter_openapi_schema"]
    by_form = by_run = 0
    for request in malformed():
        status, found = post(server, "/ui/schemas/validate", {"schema": schema, "values": request})
        assert status == 200
        if found["valid"]:
            by_run += refused_by_run(request)
        else:
            assert found["errors"]
            by_form += 1
    assert len(runs(server)) == before
    count(by_the_form=by_form, by_the_run=by_run)


def test_by_http(server: Server, count: Any) -> None:
    """The server answers 409 or 422 and says why; what it takes, the run refuses."""
    path = f"/deployments/{deployment(server)['id']}/create_flow_run"
    before = len(runs(server))
    by_server = by_run = 0
    bodies: list[dict[str, Any]] = [{"parameters": request} for request in malformed()]
    for body in [*bodies, {"parameters": 5}, {"parameters": []}, {"parameters": GOOD, "request_id": "a"}]:
        status, answer = post(server, path, body)
        if status < 400:
            by_run += refused_by_run(body["parameters"])
            continue
        assert status in {409, 422}
        assert answer.get("detail") or answer["exception_detail"]
        by_server += 1
    assert len(runs(server)) == before + by_run
    count(by_the_server=by_server, by_the_run=by_run)
