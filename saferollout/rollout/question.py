"""Question: the record says that a rollout waits for a person, so that whoever looks knows it from Azure alone."""

from datetime import timedelta

from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import OnTimeout, StageConfig
from saferollout.rollout.due import due_after_question
from saferollout.rollout.record import OpenQuestion, now
from saferollout.rollout.rollout import Rollout


def note_question(azure: Workspace, rollout: Rollout, stage: StageConfig) -> OpenQuestion:
    """Put the question of a stage on record, unless it is there, and return it as it is there.

    A question that was asked before keeps its time: a run that begins again does not give it more.

    Raises:
        Lost: The rollout is somebody else's by now.
    """
    asked = rollout.own_record(azure.settled(rollout.endpoint).tags).asks
    if asked and asked.share == stage.traffic:
        return asked
    since = now().replace(microsecond=0)
    until = since + timedelta(seconds=stage.approval_timeout_s) if stage.on_timeout is OnTimeout.ROLLBACK else None
    asked = OpenQuestion(share=stage.traffic, since=since, until=until)
    due = due_after_question(rollout.project.config, stage, until) if until else None
    changes = {"asks": asked, "due": due} | ({"made_of": rollout.made_of} if rollout.made_of else {})
    azure.update_endpoint(rollout.endpoint, tags=lambda tags: rollout.advanced(tags, **changes))
    return asked
