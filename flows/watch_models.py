"""Watch models: request a rollout of each new version that is ready; made to be run on a schedule."""

from prefect import flow

from saferollout.config.project import resolve_workspace
from saferollout.config.request import RolloutRequest
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import ConfigError
from saferollout.rollout.watch_models import TAG_CONFIG, request_for
from tasks.watch_models import find_ready, request_new


@flow(flow_run_name="watch models", persist_result=True, result_serializer="json")
async def watch_models(
    configs: dict[str, str] | None = None,
    tag: str = "stage",
    value: str = "ready",
    workspace: WorkspaceConfig | None = None,
) -> dict[str, str]:
    """Request a rollout of the newest version of each model that is ready, each once, and say what was done.

    One model in trouble does not keep the others from their turn; the first failure is raised at the end.

    Args:
        configs: By which config a model is rolled out, by the model's name; no other model is looked at then. By
            default all are, and the version's tag `saferollout.config` names the config.
        tag: The tag of a version that is ready.
        value: What the tag says then.
        workspace: Where the models are; by default what the environment names.
    """
    done: dict[str, str] = {}
    wanted: list[RolloutRequest] = []
    failures: list[ConfigError] = []
    found = resolve_workspace(workspace)
    for model in await find_ready(found, configs or {}, tag, value):
        try:
            request = request_for(model, configs or {}, f"its tag {tag} is {value}", found)
        except ConfigError as failure:
            failures.append(failure)
            continue
        if request is None:
            done[f"{model.name}:{model.version}"] = f"no config: name it in the tag {TAG_CONFIG} or in `configs`"
        else:
            wanted.append(request)
    done |= await request_new(wanted)
    if failures:
        raise failures[0]
    return done
