"""Auto: a stage that approves by itself where the judge found the candidate healthy."""

import hashlib
from collections.abc import Sequence

from saferollout.config.rollout import Auto, StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout.record import now
from saferollout.rollout.rollout import Rollout

AUTO = "auto"


def approve_by_itself(
    rollout: Rollout, stage: StageConfig, gates: Sequence[Evidence], flow_run: str
) -> Decision | None:
    """The approval of a stage by itself, on what its `gates` found; None where a person is to be asked.

    The last gate must have found the candidate healthy, and none may have been undecided. A run that begins again
    decides as it did before, on the same evidence.
    """
    verdicts = [gate.verdict for gate in gates]
    if stage.auto is not Auto.HEALTHY or verdicts[-1:] != [GateVerdict.HEALTHY] or GateVerdict.UNDECIDED in verdicts:
        return None
    shown = "".join(f"{gate.headline}{gate.details}" for gate in gates)
    digest = hashlib.sha256(f"{rollout.id}{rollout.revision}{shown}".encode()).hexdigest()[:12]
    before = rollout.approvals.get(stage.traffic)
    is_same = before and (before.approver, before.evidence, before.rollout) == (AUTO, digest, rollout.id)
    return Decision(
        share=stage.traffic,
        decision="approve",
        approver=AUTO,
        comment=f"auto: healthy in the config; {gates[-1].summary}",
        at=before.at if before and is_same else now(),
        evidence=digest,
        rollout=rollout.id,
        flow_run=flow_run,
    )
