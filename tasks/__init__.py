"""The steps of a rollout, as Prefect's tasks."""

from tasks.support import logs as logs  # for its effect on the logs of every flow
from tasks.support import unread as unread  # for its effect on the output of every process of a run
