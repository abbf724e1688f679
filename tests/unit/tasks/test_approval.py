"""What the form of an approval shows."""

import pytest

from saferollout.approvals.question import REJECT, compare_deployments, describe_decision, make_question
from saferollout.config.approvals import ApprovalsConfig
from saferollout.domain.composition import brief
from saferollout.domain.endpoint import DeploymentState
from saferollout.domain.evidence import Check, Evidence, GateVerdict
from tasks.support.forms import make_form


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("CliV2AnonymousEnvironment:0123456789abcdef0123456789abcdef", "01234567…"),
        ("01234567-89ab-cdef-0123-456789abcdef:1", "01234567…"),
        ("minimal-py311-inference:37", "minimal-py311-inference:37"),
        ("sklearn:1", "sklearn:1"),
        ("", ""),
    ],
)
def test_a_version_is_shown_whole(version: str, expected: str) -> None:
    """Only the hash that is an anonymous asset's name is cut: whoever decides sees which version was resolved."""
    assert brief(version) == expected


def test_what_was_found_last_comes_first() -> None:
    """Under the title, and beside the decision, where it is the first line; a gate without a table has none."""
    check = Check(check="error rate", passed=True, candidate="1%", live="1%", limit="2%")
    evidence = [
        Evidence(gate="smoke test", verdict=GateVerdict.PASSED, summary="all answered"),
        Evidence(gate="judge at 10%", verdict=GateVerdict.HEALTHY, summary="no worse", checks=[check]),
    ]

    question = make_question("Give it 50%?", "n", evidence, "CHANGES", rollout="r", revision="v", deployment="d")

    lines = [line for line in question.text.splitlines() if line and not line.startswith("|")]
    assert lines == [
        "### Give it 50%?",
        "- **judge at 10%: healthy** — no worse",
        "- **smoke test: passed** — all answered",
        "CHANGES",
        "**judge at 10%**",
    ]
    assert describe_decision(evidence, []).splitlines() == [
        "judge at 10%: healthy — no worse",
        "· smoke test: passed — all answered",
        "· Reject rolls everything back.",
    ]


def test_what_changes_is_a_table() -> None:
    """Live's beside the candidate's, or that it is the same; what neither has is left out."""
    made_of = {"provisioning_state": "Succeeded", "instance_type": "Standard_DS3_v2"}
    live = DeploymentState(name="blue", instance_count=2, model="m:1", environment="e:7", **made_of)
    candidate = DeploymentState(name="green", instance_count=1, model="m:2", environment="e:7", **made_of)

    table = compare_deployments(live, candidate, live_revision="—", revision="abc")

    assert table.splitlines() == [
        "|  | live (blue) | candidate (green) |",
        "| --- | --- | --- |",
        "| model | m:1 | m:2 |",
        "| environment | e:7 | the same |",
        "| instances | 2 × Standard_DS3_v2 | 1 × Standard_DS3_v2 |",
        "| revision | — | abc |",
    ]


@pytest.mark.parametrize(("verify", "more"), [("none", []), ("totp", ["code"]), ("oidc", ["proof"])])
def test_a_form_with_more_fields_says_the_question_beside_the_decision(verify: str, more: list[str]) -> None:
    """Where there is no room for it above; what nobody fills in is the last field."""
    rules = ApprovalsConfig.model_validate({"verify": verify})

    fields = make_form("0123456789ab", rules, title="Give it 50%?").model_json_schema()["properties"]

    assert list(fields) == ["decision", "approver", "comment", *more, "evidence"]
    assert fields["decision"]["description"] == (f"Give it 50%? {REJECT}" if more else REJECT)
