"""What is said of how users' requests were shared."""

from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.gates.splits import with_splits

HEALTHY = Evidence(gate="judge at 10%", verdict=GateVerdict.HEALTHY, summary="no sign of harm", checks=[])
SHARES = {"blue": 90, "green": 10}


def test_a_split_as_set_is_one_line_of_evidence() -> None:
    """The share that users really got stands beside the one that was set, for each source that counted users."""
    found = with_splits(HEALTHY, {"traffic_log": {"blue": 893, "green": 107}, "probes": {}}, SHARES)

    assert found.summary == HEALTHY.summary
    assert [(check.check, check.candidate, check.limit) for check in found.checks] == [
        ("users' requests to green (traffic log)", "10.7% of 1,000", "10%")
    ]


def test_a_split_that_cannot_be_chance_is_reported() -> None:
    """The verdict on the candidate stays what it is: it is not to blame."""
    found = with_splits(HEALTHY, {"azure_metrics": {"blue": 700.5, "green": 300}}, SHARES)

    assert found.verdict is GateVerdict.HEALTHY
    assert "users are not shared as set: green got 30.0% of 1,000 requests instead of 10%" in found.summary
    assert found.checks[0].note == "this cannot be chance"


def test_a_deployment_that_should_have_none_is_a_mismatch() -> None:
    """A third deployment that answers users is not as set, however few it answers."""
    found = with_splits(HEALTHY, {"traffic_log": {"blue": 90, "green": 10, "red": 1}}, SHARES)

    assert "users are not shared as set" in found.summary


def test_nothing_is_said_where_one_deployment_has_everything() -> None:
    """There is no split then."""
    assert with_splits(HEALTHY, {"traffic_log": {"blue": 10}}, {"blue": 100}) == HEALTHY
