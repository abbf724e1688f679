"""The steps of a rollout, as Prefect's tasks."""

from tasks import tracebacks as tracebacks  # for its effect on the logs of every flow
