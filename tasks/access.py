"""What every step opens first: the config, the workspace and the endpoint's scoring address."""

import asyncio

from saferollout import project
from saferollout.azure import Workspace
from saferollout.config import ModelVersion
from saferollout.domain import Plan
from saferollout.project import Project
from saferollout.scoring import Scorer


def project_of(plan: Plan) -> Project:
    """The config and what it points to, as the plan's rollout uses them."""
    return project.load(plan.config, ModelVersion.parse(plan.model) if plan.model else None)


async def workspace_of(plan: Plan) -> Workspace:
    """A connection to the plan's workspace."""
    return await asyncio.to_thread(Workspace, project_of(plan).config.workspace)


async def scorer_of(workspace: Workspace, endpoint: str) -> Scorer:
    """A client for the endpoint's scoring address."""
    state = await asyncio.to_thread(workspace.existing, endpoint)
    return Scorer(state.scoring_uri, await asyncio.to_thread(workspace.secret, endpoint))
