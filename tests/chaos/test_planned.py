"""The check of what local Azure recorded sees what must not be."""

from typing import Any

import pytest

from saferollout.domain.endpoint import Baseline
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record, now
from tests.chaos.planned import Planned

BLUE = {"blue": 100}


def put(traffic: dict[str, int], share: int | None = None, status: int = 201) -> dict[str, Any]:
    """A request that sets the traffic, with a record of this share."""
    tags = {}
    if share is not None:
        tags = Record(
            rollout="r-1",
            owner=Owner(name="ann@laptop", flow_run="run-1"),
            since=now().replace(microsecond=0),
            candidate="green",
            revision="0" * 12,
            baseline=Baseline(live="blue", instance_count=1),
            share=share,
        ).to_tags()
    body = {"properties": {"traffic": traffic}, "tags": tags}
    return {"time": "10:00", "method": "PUT", "body": body, "answer": {"status": status}}


def taken(*lines: tuple[dict[str, Any], str]) -> list[str]:
    """What is wrong with these requests."""
    planned = Planned()
    for line, deployment in lines:
        planned.take(line, deployment)
    return planned.broken


def test_what_is_planned_is_right() -> None:
    """Two stages, one after the other, a refused change, and a deletion of what has no traffic."""
    delete = {"time": "10:00", "method": "DELETE", "body": None, "answer": {"status": 202}}
    shift = put({"blue": 90, "green": 10}, 10)
    assert taken((put({}), ""), (put(BLUE), ""), (put(BLUE, 0), ""), (shift, ""), (put(BLUE), "")) == []
    assert taken((put(BLUE, 0), ""), (shift, ""), (put({"green": 100}, 100), ""), (delete, "blue")) == []
    assert taken((put(BLUE, 0), ""), (put({"green": 100}, 100, status=409), ""), (delete, "green"))[1:] == []


@pytest.mark.parametrize(
    ("line", "deployment", "why"),
    [
        (put({"blue": 90}, 10), "", "does not sum to 100"),
        (put({"blue": 50, "green": 50}, 10), "", "the record says"),
        (put({"blue": 70, "green": 30}, 30), "", "the share was not planned"),
        (put({"green": 100}, 100), "", "the first stage was skipped"),
        (put(BLUE) | {"method": "DELETE"}, "blue", "was deleted while it had traffic"),
    ],
)
def test_what_is_not_planned_is_seen(line: dict[str, Any], deployment: str, why: str) -> None:
    """Each is the only thing that is wrong."""
    (broken,) = taken((put(BLUE, 0), ""), (line, deployment))
    assert why in broken
