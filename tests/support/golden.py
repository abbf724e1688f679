"""What this version keeps of a rollout that waits: `python -m tests.support.golden` writes it for all later ones.

A folder for each release; those of earlier ones are never changed. What a later version must be able to read are the
endpoint's tags, the results that Prefect keeps, the form that a person sees, and what the guard has seen.
"""

import json
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefect.serializers import JSONSerializer

from saferollout.config.project import Project
from saferollout.config.recorded_requests import Recording
from saferollout.config.rollout import LeftCandidate, RolloutConfig
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Baseline, Decision
from saferollout.domain.evidence import Check, Evidence, GateVerdict, Picture
from saferollout.judge import Batch, Judge, Settings
from saferollout.report.outcome import Outcome, StepRun
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import OpenQuestion, Phase, Record
from tasks.support.forms import make_form

FOLDERS = Path(__file__).parents[1] / "golden"
AT = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
PLACE = Path("/srv/shop")
STAGES = [
    {
        "traffic": share,
        "judge": {
            "error_rate_slo": 0.1,
            "latency": {"slo_ms": 300},
            "prediction_drift": {"kind": "numbers", "scale": 10, "tolerance": 0.1},
            "output_drift": {"labels": ["yes", "no"]},
            "quality": {"kind": "labels"},
        },
    }
    for share in (10, 100)
]


def record() -> Record:
    """A record with all that it can have."""
    decision = Decision(
        share=10,
        decision="approve",
        approver="Ada",
        comment="looks good",
        at=AT,
        evidence="0123456789ab",
        rollout="1a2b3c4d",
        flow_run="7b1d7d2e-0f5b-4a57-9e0a-2d5b6d1f3a10",
    )
    return Record(
        rollout="1a2b3c4d",
        phase=Phase.ROLLING,
        owner=Owner(name="ann@laptop", flow_run=decision.flow_run, process="42@4711@0a1b2c3d"),
        since=AT,
        candidate="green",
        revision="0123456789ab",
        model="azureml:diabetes:2",
        environment="azureml:sklearn:7",
        baseline=Baseline(live="blue", instance_count=2),
        share=10,
        approvals={10: decision},
        left_candidate=LeftCandidate.DELETE,
        raised_to=3,
        keep_until=AT + timedelta(days=1),
        asks=OpenQuestion(share=100, since=AT, until=AT + timedelta(days=1)),
        resumes=1,
        due=AT + timedelta(days=2),
        deployment="d4a0a5c8-6a66-4a3f-9b0e-0d2a7a9a5b11",
        guarded=AT,
        made_of=made_of(),
        changed_from=made_of(),
        changes=1,
    )


def made_of() -> Composition:
    """What a candidate is made of."""
    return Composition(
        digest="0123456789ab",
        model="diabetes:2",
        code="7b1d7d2e…",
        environment="sklearn:7",
        instance_type="Standard_DS3_v2",
        settings="01234567",
    )


def project() -> Project:
    """What a run was begun with."""
    config = RolloutConfig.model_validate(
        {
            "workspace": {"subscription_id": "s", "resource_group": "g", "name": "w"},
            "endpoint": "endpoint.yml",
            "deployment": "green-deployment.yml",
            "shadow": {"mirror": 10},
            "stages": STAGES,
        }
    )
    return Project(
        config_path=PLACE / "rollout.yaml",
        config=config,
        endpoint="shop",
        endpoint_path=PLACE / "endpoint.yml",
        deployment_path=PLACE / "green-deployment.yml",
        requests_path=PLACE / "requests.jsonl",
        assets={"model": "azureml:diabetes:2"},
        recorded=Recording(text='{"request": {"data": [[1]]}, "answer": [2]}\n', total=1),
        answer_schema={"type": "array"},
        files="ab" * 32,
        model_of_yaml="diabetes:2",
    )


def evidence() -> Evidence:
    """What a judge with every comparison has found so far, with its state."""
    comparisons = project().config.stages[0].judge.comparisons()
    judge = Judge(Settings(comparisons=comparisons, cut_points_ms=(10.0, 20.0)))
    for number in range(5):
        answers = ["yes", "no"] * 5
        judge.update(
            Batch(
                candidate_requests=10,
                candidate_errors=number == 3,
                live_requests=90,
                candidate_latencies_ms=[9.0 + number] * 10,
                live_latencies_ms=[10.0] * 10,
                disagreements=[0.0, 0.2],
                candidate_losses=[0, 1],
                live_losses=[1, 0],
                candidate_answers=answers,
                live_answers=answers,
                duration_s=1.0,
            )
        )
    return Evidence(
        gate="judge at 10%",
        verdict=GateVerdict.UNDECIDED,
        summary="no sign of harm in 50 requests",
        checks=[Check(check="errors", passed=True, candidate="1", live="0", limit="", note="few")],
        duration_s=5.0,
        at=AT,
        cut_points_ms=[10.0, 20.0],
        state=judge.to_dict(),
        made_of=made_of(),
        pictures=[Picture(name="error_rate", title="Error rate", svg="", numbers={"x": [1]})],
    )


def outcome() -> Outcome:
    """What became of a rollout."""
    return Outcome(
        outcome="rolled_back",
        reason="green went bad",
        endpoint="shop",
        rollout="1a2b3c4d",
        live="blue",
        candidate="green",
        traffic={"blue": 100},
        instance_counts={"blue": 2},
        decisions=list(record().approvals.values()),
        evidence=[evidence().for_programs()],
        steps=[StepRun(name="baseline", state="Completed", duration_s=1.0, attempts=1)],
    )


def documents() -> dict[str, str]:
    """What this version writes, by the names of files."""
    kept = JSONSerializer()
    results = {"project": project(), "evidence": evidence(), "outcome": outcome()}
    texts = {f"result-{name}.json": kept.dumps(value).decode() for name, value in results.items()}
    texts["tags.json"] = json.dumps(record().to_tags())
    texts["guard.json"] = evidence().model_dump_json()
    texts["form.json"] = json.dumps(make_form("0123456789ab", None, [evidence()]).model_json_schema())
    return {name: json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n" for name, text in texts.items()}


def shape(content: Any) -> Any:
    """The keys of a document, without its values: what a change of the format changes."""
    if isinstance(content, dict):
        return {key: shape(value) for key, value in content.items()}
    return [shape(content[0])] if isinstance(content, list) and content else type(content).__name__


if __name__ == "__main__":
    folder = FOLDERS / version("saferollout")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text)
