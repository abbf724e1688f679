"""Smoke test: recorded requests straight to the candidate, before any user reaches it."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_table_artifact

from saferollout import recorded, smoke
from saferollout.errors import GateFailed
from saferollout.evidence import Evidence
from saferollout.plan import Plan
from tasks.access import scorer_of
from tasks.artifacts import show
from tasks.policy import GATE


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
            recorded.sample(requests, project.config.smoke_test.sample),
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
