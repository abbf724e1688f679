"""The shadow stage: users' requests are copied to the candidate, and nobody sees what it answers."""

from typing import Any

import pytest

from tests.stack import STAGE, Endpoint, Stack, counts_of, wait_for

SHADOW: dict[str, Any] = {
    "mirror": 20,
    "judge": STAGE | {
        "min_duration_s": 8,
        "max_duration_s": 20,  # local Azure does not log mirrored requests: the log never tells
        "sources": [
            {"kind": "probes"},
            {"kind": "traffic_log", "workspace_id": "${AZURE_LOG_ANALYTICS_WORKSPACE_ID}", "ingestion_delay_s": 1},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("candidate", ["green-deployment.yml", "candidates/errors.yml"], ids=["healthy", "harmful"])
def test_candidate_is_judged_before_any_user_is_on_it(stack: Stack, endpoint: Endpoint, candidate: str) -> None:
    """Healthy, it is offered with the evidence; harmful, it is rolled back. Either way mirroring has ended by then."""
    config = endpoint.config(candidate, stages=endpoint.stages(approval_at=10), shadow=SHADOW)
    with endpoint.users() as users:
        run = endpoint.submit(config)
        wait_for("mirroring", lambda: endpoint.state().mirror_traffic == {"green": 20} or None)
        healthy = candidate == "green-deployment.yml"
        shown = stack.until(run, "Suspended" if healthy else "Failed")
        counts = counts_of(users)

    state = endpoint.state()
    assert (state.traffic, state.mirror_traffic) == ({"blue": 100}, {})
    assert set(counts["by_deployment"]) == {"blue"}
    assert counts["failed"] == 0, counts
    if healthy:
        assert "shadow at 20%: healthy" in stack.question(run)
        endpoint.workspace().update_endpoint(endpoint.name, mirror={"green": 10})  # as a killed run may leave it
        stack.cli("rollback", endpoint.name)
        assert endpoint.state().mirror_traffic == {}
    else:
        assert "harmful" in shown["state"]["message"]
        assert f"{endpoint.name}-shadow-plots" in stack.artifacts(run)
        assert not [tag for tag in state.tags if tag.startswith("saferollout.")]
