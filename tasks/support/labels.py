"""What people ask of a run that is at work, through labels of the run: Prefect's server hands them on."""

from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from saferollout.domain.endpoint import Value
from saferollout.rollout.record import PREFIX

PAUSE = PREFIX + "pause"
SKIP_JUDGE = PREFIX + "skip-judge"


class Asked(Value):
    """Who asked for it, when and why."""

    by: str
    at: datetime
    comment: str = ""

    def __str__(self) -> str:
        why = f": {self.comment}" if self.comment else ""
        return f"{self.by} at {self.at:%Y-%m-%d %H:%M:%S %Z}{why}"


def asked_of(flow_run: FlowRun, label: str) -> Asked | None:
    """What the label asks for; None if nothing, also where the value is somebody else's."""
    try:
        return Asked.model_validate_json(str(flow_run.labels.get(label, "")))
    except ValidationError:
        return None


async def ask_of(client: PrefectClient, run_id: UUID, label: str, asked: Asked | None) -> None:
    """Ask a run for it, or take that back."""
    value: Any = asked.model_dump_json() if asked else ""
    await client.update_flow_run_labels(run_id, {label: value})
