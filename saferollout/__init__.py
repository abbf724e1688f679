"""How a model is rolled out, judged and rolled back on Azure Machine Learning; it works without Prefect.

`submit`, which asks the rollout that is deployed on Prefect, is what other code calls; the rest is for the flows and
the command line, and its names may change.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["submit"]


def submit(
    config: str = "configs/rollout.yaml",
    model: str | None = None,
    *,
    by: str = "",
    why: str = "",
    request_id: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Ask for a rollout, and return the id of the flow run that does it, on the server that `PREFECT_API_URL` names.

    Args:
        config: The path of a config on the worker, or its name: `fraud` is `configs/fraud.yaml` there.
        model: The registered model, as `<name>:<version>` or `<name>@latest`; by default the deployment's YAML says it.
        by: Who asks, for the report.
        why: Why, for the report.
        request_id: The same id twice starts one rollout: the run's id is that of the first time.
        overrides: What is to be otherwise than the config says: `live.instance_count`, `stages.approval_timeout_s`, or
            `when_busy` (`refuse` or `queue`).

    Raises:
        ConfigError: Something of that does not fit; it names every mistake, and nothing was started.
        Refused: The rollout is not deployed on the server.
    """
    import asyncio  # only now: `saferollout.judge` and others need neither these nor Prefect
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    from saferollout.config.request import read_request
    from tasks.support import requests

    asked = {"config": config, "model": model, "by": by, "why": why, "request_id": request_id}
    request = read_request(asked | {"overrides": {} if overrides is None else overrides})
    context = contextvars.copy_context()  # Prefect's settings are in it
    with ThreadPoolExecutor(1) as thread:  # whoever calls may have a running event loop, as an asynchronous flow has
        return str(thread.submit(context.run, asyncio.run, requests.submit(request)).result().flow_run)
