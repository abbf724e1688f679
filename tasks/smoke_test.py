"""Smoke test: recorded requests straight to the candidate, before any user reaches it."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_table_artifact

from saferollout.config import recorded_requests
from saferollout.domain.errors import GateFailed
from saferollout.domain.evidence import Evidence
from saferollout.gates import smoke_test as smoke
from saferollout.rollout.rollout import Plan
from tasks.support.access import scorer_of
from tasks.support.artifacts import show
from tasks.support.policy import GATE


@task(task_run_name="smoke test {plan.candidate}", **GATE)
async def smoke_test(plan: Plan) -> Evidence:
    """Return the evidence; GateFailed if an answer is not as it should be."""
    evidence = await run_smoke_test(plan)
    await show(
        acreate_table_artifact(
            table=evidence.table(), key=f"{plan.endpoint.lower()}-smoke-test", description=evidence.summary
        )
    )
    return passed(evidence)


async def run_smoke_test(plan: Plan) -> Evidence:
    """Send the recorded requests, and return what came back."""
    project = plan.project
    requests = await asyncio.to_thread(project.requests)
    async with await scorer_of(plan, plan.endpoint) as scorer:
        return await smoke.run(
            scorer,
            recorded_requests.sample(requests, project.config.smoke_test.sample),
            project.config.smoke_test,
            candidate=plan.candidate,
            live=plan.live,
            answer_schema=project.answer_schema,
        )


def passed(evidence: Evidence) -> Evidence:
    """The evidence; GateFailed if an answer is not as it should be."""
    if evidence.verdict == "failed":
        msg = f"smoke test failed: {evidence.summary}"
        raise GateFailed(msg, evidence)
    return evidence
