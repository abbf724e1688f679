"""What every step opens first: the workspace, and the endpoint's scoring address."""

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import WorkspaceConfig
from saferollout.gates.scoring import Scorer
from saferollout.rollout.rollout import Plan
from tasks.support.threads import STEP, in_daemon

T = TypeVar("T")

_idle: dict[WorkspaceConfig, list[Workspace]] = defaultdict(list)


async def in_workspace(of: Plan | WorkspaceConfig, call: Callable[[Workspace], T]) -> T:
    """Call something blocking with a connection to the workspace, in a thread.

    A connection serves one thread at a time and is kept: signing in again for every step would cost more than most
    steps.
    """
    config = of.project.config.workspace if isinstance(of, Plan) else of

    def run() -> T:
        try:
            workspace = _idle[config].pop()
        except IndexError:
            workspace = Workspace(Client(config))
        try:
            return call(workspace)
        finally:
            _idle[config].append(workspace)

    return await in_daemon(run, STEP)


async def scorer_of(of: Plan | WorkspaceConfig, endpoint: str) -> Scorer:
    """A client for the endpoint's scoring address, also when its key is changed meanwhile."""

    async def renew() -> str:
        return await in_workspace(of, lambda azure: azure.secret(endpoint, is_refused=True))

    return await in_workspace(
        of, lambda azure: Scorer(azure.existing(endpoint).scoring_uri, azure.secret(endpoint), renew=renew)
    )
