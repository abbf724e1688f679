"""What every step opens first: the workspace, and the endpoint's scoring address."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from saferollout.azure import Workspace
from saferollout.config import WorkspaceConfig
from saferollout.plan import Plan
from saferollout.scoring import Scorer

T = TypeVar("T")

_of_thread = threading.local()


async def in_workspace(of: Plan | WorkspaceConfig, call: Callable[[Workspace], T]) -> T:
    """Call something blocking with a connection to the workspace, in a thread.

    A connection serves one thread and is kept there: signing in again for every step would cost more than most steps.
    """
    config = of.project.config.workspace if isinstance(of, Plan) else of

    def run() -> T:
        open_ones = _of_thread.__dict__.setdefault("workspaces", {})
        if config not in open_ones:
            open_ones[config] = Workspace(config)
        return call(open_ones[config])

    return await asyncio.to_thread(run)


async def scorer_of(of: Plan | WorkspaceConfig, endpoint: str) -> Scorer:
    """A client for the endpoint's scoring address."""
    return await in_workspace(
        of, lambda azure: Scorer(azure.existing(endpoint).scoring_uri, azure.secret(endpoint))
    )  # fmt: skip
