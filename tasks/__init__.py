"""The steps of a rollout, as Prefect's tasks."""

from tasks.support import logs as logs  # for its effect on the logs of every flow
