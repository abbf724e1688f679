"""The shadow stage: users' requests are copied to the candidate, and nobody sees what it answers."""

import json
import re
from typing import Any

from tests.support.stack import DIABETES, STAGE, Endpoint, Stack, counts_of, started, wait_for

LOG = {"kind": "traffic_log", "workspace_id": "${AZURE_LOG_ANALYTICS_WORKSPACE_ID}", "ingestion_delay_s": 1}


def shadow(*more_sources: dict[str, Any]) -> dict[str, Any]:
    """A shadow stage on probes and more."""
    judge = STAGE | {"min_duration_s": 6, "max_duration_s": 120, "sources": [{"kind": "probes"}, *more_sources]}
    return {"mirror": 20, "judge": judge}


def test_healthy_candidate_is_offered_with_its_evidence(stack: Stack, endpoint: Endpoint) -> None:
    """Mirroring has ended by the time a person is asked; what a killed run left of it a rollback ends, too.

    The traffic log has counted the copies. No stage asks, but the smoke test does: the project has one sample request,
    nobody says what its answer is, and the candidate's is a thousand times live's.
    """
    deployment, switch = endpoint.turning("return [1000 * y for y in score.predict(rows)]")
    switch.touch()
    (endpoint.directory / "sample-request.json").write_text(
        '{"data": [[54, 2, 36.1, 115, 163, 98.4, 43, 4, 4.7, 101]]}'
    )
    smoke = {"max_latency_ms": 5000}
    stages = endpoint.stages(approval=False)
    config = endpoint.config(deployment=str(deployment), stages=stages, shadow=shadow(LOG), smoke_test=smoke)
    with endpoint.users() as users:
        run = endpoint.submit(config)
        wait_for("mirroring", lambda: endpoint.state().mirror_traffic == {"green": 20} or None)
        stack.until(run, "Suspended")
        counts = counts_of(users)

    state = endpoint.state()
    assert (state.traffic, state.mirror_traffic) == ({"blue": 100}, {})
    assert (set(counts["by_deployment"]), counts["failed"]) == ({"blue"}, 0)
    question = stack.question(run)
    last, first = question.splitlines()[2:4]
    assert last.startswith("- **shadow at 20%: healthy** — no sign of harm in ")
    assert first.startswith("- **smoke test: undecided** — numbers at '\\*' are orders of magnitude off")
    assert "one distinct request says little about others" in question
    assert re.search(r"source: traffic log \| [1-9]\d* requests", question)
    endpoint.workspace().update_endpoint(endpoint.name, mirror={"green": 10})
    stack.cli("rollback", endpoint.name)
    assert endpoint.state().mirror_traffic == {}


def test_slow_candidate_is_rolled_back_before_any_user_is_on_it(stack: Stack, endpoint: Endpoint) -> None:
    """Where the smoke test has no objection, the judge sees that it is slower than the live deployment."""
    smoke = {"requests": str(DIABETES / "requests.jsonl"), "sample": 10, "max_latency_ms": 5000, "tolerance": 160}
    stages = endpoint.stages(approval=False)
    config = endpoint.config("candidates/slow.yml", stages=stages, shadow=shadow(LOG), smoke_test=smoke)
    with started(stack.command("run", str(config), "--json"), stack.env) as rollout:
        wait_for("mirroring", lambda: endpoint.state().mirror_traffic == {"green": 20} or None)
        run = endpoint.state().tags["saferollout.flow-run"]
        output, errors = rollout.communicate(timeout=240)

    assert rollout.returncode == 1, errors
    reason = json.loads(output)["reason"]
    assert "harmful" in reason
    assert "take longer than" in reason or "slower than a live one" in reason
    state = endpoint.state()
    assert (state.traffic, state.mirror_traffic) == ({"blue": 100}, {})
    assert f"{endpoint.name}-shadow-plots" in stack.artifacts(run)
    assert [tag for tag in state.tags if tag.startswith("saferollout.")] == ["saferollout.held"]
