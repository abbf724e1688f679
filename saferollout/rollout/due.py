"""Due: when the next change of a rollout's record is overdue, whoever should make it."""

from datetime import datetime, timedelta

from saferollout.config.rollout import RolloutConfig, StageConfig
from saferollout.rollout.record import now

SLACK_S = 1800.0
"""What smoke tests, drains, retries and a busy worker may take besides, in seconds."""


def due_after(config: RolloutConfig, share: int) -> datetime:
    """When what follows the record of this share is overdue: a question, the next share, or the end.

    Each step is given the longest that it may take, so that a rollout which is under way is never overdue.
    """
    reached = [stage for stage in config.stages if share and stage.traffic >= share]
    judge = reached[0].judge if reached else config.shadow.judge if config.shadow else None
    following = next((stage for stage in config.stages if stage.traffic > share), None)
    return now() + _work(config, (judge.limit_s if judge else 0) + (following.recheck_s if following else 0))


def due_after_question(config: RolloutConfig, stage: StageConfig, until: datetime) -> datetime:
    """When what follows a question that is open `until` then is overdue."""
    return until + _work(config, stage.recheck_s)


def due_after_freeze(config: RolloutConfig, until: datetime) -> datetime:
    """When what follows a freeze that holds `until` then is overdue."""
    return until + _work(config, max(stage.recheck_s for stage in config.stages))


def _work(config: RolloutConfig, watching_s: float) -> timedelta:
    """How long gates of so many seconds may take with what Azure does between two changes of the record."""
    operations_s = 2 * config.workspace.operation_timeout_s
    return timedelta(seconds=watching_s + operations_s + config.orchestrator_grace_s + SLACK_S)
