"""The attestation of a rollout: written where the key is, by the worker that ends it, and kept among the artifacts."""

import json
from functools import partial
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.sorting import ArtifactSort

from saferollout.approvals.attestation import make_statement, seal
from saferollout.approvals.keys import Keyring
from saferollout.report.outcome import Outcome
from saferollout.rollout.rollout import Rollout
from tasks.support import history
from tasks.support.keys import load_keys
from tasks.support.orchestrator import insist
from tasks.support.this_run import run_id

KEY = "-attestation"
FENCE = ("```json\n", "\n```")


async def record_outcome(rollout: Rollout, outcome: Outcome) -> None:
    """Put the end of the rollout into the history and, where a key is configured, attest to it.

    Where Prefect's server fails, it is asked again.
    """
    grace_s = rollout.project.config.orchestrator_grace_s
    keys = await insist(load_keys, grace_s)
    event = history.event_of(rollout, "outcome", f"{outcome.outcome}: {outcome.reason}")
    entry = await insist(lambda: history.append_end(event, keys), grace_s)
    if keys.signs:
        subjects = {outcome.model or rollout.project.label: rollout.project.files} | rollout.project.parts
        changes = await insist(lambda: _changes(rollout, keys), grace_s)
        predicate = _predicate(rollout, outcome, changes) | {
            "history": {"number": entry.number, "digest": entry.digest}
        }
        sealed = json.dumps(seal(make_statement(subjects, predicate), keys), indent=2)
        artifact = partial(
            acreate_markdown_artifact,
            markdown=sealed.join(FENCE),
            key=f"{rollout.endpoint.lower()}{KEY}",
            description=f"Signed statement; `saferollout attest {run_id()}` writes it to a file.",
        )
        await insist(artifact, grace_s)


async def read_attestation(run: UUID) -> str | None:
    """The signed statement that a run has left, as JSON; None if it has left none."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=of_run, sort=ArtifactSort.CREATED_DESC)
    for artifact in found:
        if (artifact.key or "").endswith(KEY):
            return str(artifact.data).removeprefix(FENCE[0]).removesuffix(FENCE[1])
    return None


async def _changes(rollout: Rollout, keys: Keyring) -> list[dict[str, str]]:
    """What somebody else made of the candidate, and when that was noticed, as the history has it."""
    known = await history.rulings(rollout.endpoint, rollout.id, keys)
    found = [event for event in known.values() if event.kind == "change"]
    return [{"at": event.at.isoformat(), "reason": event.reason} for event in found]


def _predicate(rollout: Rollout, outcome: Outcome, changes: list[dict[str, str]]) -> dict[str, Any]:
    """What is attested: what was rolled out where, what it had to pass, who decided, and what became of the traffic."""
    shown = outcome.model_dump(mode="json")
    gates = ("gate", "verdict", "summary", "at", "checks")
    return {
        "workspace": rollout.project.config.workspace.model_dump(include={"subscription_id", "resource_group", "name"}),
        "endpoint": rollout.endpoint,
        "rollout": rollout.id,
        "flowRun": rollout.flow_run,
        "requester": rollout.requester.model_dump(),
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "candidate": {
            "deployment": rollout.candidate,
            "revision": rollout.revision,
            "digest": rollout.made_of.digest if rollout.made_of else "",
            "model": outcome.model,
            "environment": outcome.environment,
            "assets": rollout.project.assets,
            "files": rollout.project.parts,
        },
        "changes": changes,
        "inputs": outcome.inputs,
        "gates": [{key: found[key] for key in gates} for found in shown["verdicts"]],
        "decisions": [given.model_dump(mode="json") for one in outcome.decisions for given in one.all],
        "traffic": {
            "before": rollout.baseline.traffic,
            "after": outcome.traffic,
            "steps": [step for step in shown["steps"] if step["name"].startswith(("shift ", "roll back"))],
        },
        "steps": shown["steps"],
    }
