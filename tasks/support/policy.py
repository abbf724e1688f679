"""How the steps run: what is worth another try, and what Prefect may remember."""

from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE, RUN_ID, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff

from saferollout.domain.errors import AzureFailed


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the same call may succeed later: throttled, a server's error, no connection; never a refusal.

    A `Retry-After`, where Azure sends one, is waited for inside Azure's client, before a step fails at all.
    """
    return isinstance(state.data, AzureFailed) and state.data.retryable


def _gate_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    rollout = parameters["rollout"]
    stage = parameters.get("stage")
    share, question = stage.traffic if stage else 0, parameters.get("question", "")
    anew = f":{rollout.changes}" if rollout.changes else ""
    return f"{context.task.name}:{rollout.id}:{rollout.revision}:{share}:{question}{anew}"


RETRIED: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": worth_retrying,
}
"""What may pass within half a minute: after 2, 4, 8 and 16 s on average, and not all runs at the same moment.

An Azure that fails for longer is not waited for: the rollout goes back, and the way back insists."""

ROLLBACK: dict[str, Any] = {"cache_policy": NO_CACHE}
"""A rollback: it tries again by itself, and far longer than a step."""

STEP: dict[str, Any] = RETRIED | ROLLBACK
"""A step that reads or changes Azure: a reconciliation, so it is run every time and never answered from a cache."""

_KEPT: dict[str, Any] = {"persist_result": True, "result_serializer": "json"}

ONCE: dict[str, Any] = _KEPT | {
    "cache_policy": RUN_ID + CacheKeyFnPolicy(cache_key_fn=lambda context, _: context.task.name)
}
"""A step whose result is fixed for the run: what somebody edits while it waits for an answer changes nothing."""

GATE: dict[str, Any] = RETRIED | _KEPT | {"cache_policy": RUN_ID + CacheKeyFnPolicy(cache_key_fn=_gate_key)}
"""A gate: its evidence is kept for this run, this rollout, this revision of the candidate and this stage.

What somebody else has made of the candidate meanwhile is tested anew."""
