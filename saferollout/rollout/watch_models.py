"""Watch models: which registered model versions are ready to be rolled out, and by which config."""

from collections.abc import Mapping

from saferollout.azure.workspace import Workspace
from saferollout.config.recorded_requests import short_digest
from saferollout.config.request import RolloutRequest, read_request
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.registered_model import RegisteredModel

TAG_CONFIG = "saferollout.config"
"""The tag of a model's version that names its config, where the watcher was not given one for the model."""
LONGEST = 100
"""The longest name and version that a request's id repeats."""


def find_ready(workspace: Workspace, configs: Mapping[str, str], tag: str, value: str) -> list[RegisteredModel]:
    """The newest version of each model that carries the tag; of all models where `configs` names none.

    An earlier version that is ready too was overtaken before anybody asked for it.
    """
    models = sorted(configs) or workspace.models()
    listed = (workspace.model_versions(model) for model in models)
    newest = (next((found for found in versions if found.tags.get(tag) == value), None) for versions in listed)
    return [found for found in newest if found is not None]


def request_for(
    model: RegisteredModel, configs: Mapping[str, str], why: str, workspace: WorkspaceConfig
) -> RolloutRequest | None:
    """The request for a rollout of this version; None where no config is named for the model.

    Raises:
        ConfigError: The model's tag does not name a config.
    """
    if (config := configs.get(model.name) or model.tags.get(TAG_CONFIG)) is None:
        return None
    asked = {"config": config, "model": {"name": model.name, "version": model.version}, "by": "watch_models"}
    return read_request(
        asked | {"why": why, "request_id": request_id(model, workspace)}, f"model {model.name}:{model.version}"
    )


def request_id(model: RegisteredModel, workspace: WorkspaceConfig) -> str:
    """The same for a version whenever it is looked at, and another one in another workspace."""
    place = short_digest(workspace.model_dump_json(include={"subscription_id", "resource_group", "name"}))
    name = f"{model.name}:{model.version}"
    return f"watch_models/{place}/{name if len(name) <= LONGEST else short_digest(name)}"
