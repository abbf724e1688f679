"""Smoke test: recorded requests straight to the candidate, before any user reaches it."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_table_artifact

from saferollout.config import recorded_requests
from saferollout.config.judge import WhenUndecided
from saferollout.config.project import Project
from saferollout.config.rollout import SmokeTestConfig
from saferollout.domain.composition import Composition
from saferollout.domain.errors import GateFailed
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.domain.fault_points import Step
from saferollout.gates import smoke_test as smoke
from saferollout.rollout import drift
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace, scorer_of
from tasks.support.artifacts import publish
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import GATE


@task(task_run_name=named("smoke test {rollout.candidate}"), **GATE)
@bounded(Step.SMOKE_TEST)
async def smoke_test(rollout: Rollout) -> Evidence:
    """Return the evidence, with what the candidate was made of just before.

    Raises:
        Drifted: Somebody else changed something.
        GateFailed: An answer is not as it should be, or undecided means failed.
    """
    state = await in_workspace(rollout, lambda azure: drift.require_unchanged(azure, rollout))
    made_of = Composition.of(state.deployments[rollout.candidate])
    evidence = await run_smoke_test(rollout.project, candidate=rollout.candidate, live=rollout.live)
    await publish(
        acreate_table_artifact(
            table=evidence.table(), key=f"{rollout.endpoint.lower()}-smoke-test", description=evidence.summary
        )
    )
    return require_passed(evidence.model_copy(update={"made_of": made_of}), rollout.project.config.smoke_test)


async def run_smoke_test(project: Project, *, candidate: str, live: str) -> Evidence:
    """Send the recorded requests, and return what came back."""
    requests = await asyncio.to_thread(project.requests)
    async with await scorer_of(project.config.workspace, project.endpoint) as scorer:
        return await smoke.run(
            scorer,
            recorded_requests.sample(requests, project.config.smoke_test.sample),
            project.config.smoke_test,
            candidate=candidate,
            live=live,
            answer_schema=project.answer_schema,
        )


def require_passed(evidence: Evidence, config: SmokeTestConfig) -> Evidence:
    """Return the evidence.

    Raises:
        GateFailed: An answer is not as it should be, or nobody knows and that means failed.
    """
    undecided_fails = config.when_undecided is WhenUndecided.FAIL and evidence.verdict is GateVerdict.UNDECIDED
    if evidence.verdict is GateVerdict.FAILED or undecided_fails:
        msg = f"smoke test {evidence.verdict}: {evidence.summary}"
        raise GateFailed(msg, evidence)
    return evidence
