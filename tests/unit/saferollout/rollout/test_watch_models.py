"""Which versions of models are ready, and what is requested for them; on Azure's twin in memory."""

from datetime import UTC, datetime

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import ConfigError
from saferollout.domain.registered_model import RegisteredModel
from saferollout.rollout.watch_models import TAG_CONFIG, find_ready, request_for

READY = {"stage": "ready"}
HERE = WorkspaceConfig(subscription_id="s", resource_group="g", name="here")


def model(name: str, version: str, **tags: str) -> RegisteredModel:
    """A version of a model."""
    return RegisteredModel(name, version, datetime(2026, 1, 1, tzinfo=UTC), tags)


def test_the_newest_version_that_is_ready_is_found() -> None:
    """Of each model, or of those that were named; one call a model."""
    memory = Memory()
    memory.models = [model("a", "1", **READY), model("a", "2", **READY), model("a", "3"), model("b", "1")]
    memory.models += [model("c", "1", **READY)]

    found = find_ready(Workspace(memory), {}, "stage", "ready")

    assert [(each.name, each.version) for each in found] == [("a", "2"), ("c", "1")]
    assert find_ready(Workspace(memory), {"c": "x"}, "stage", "ready") == found[1:]
    assert find_ready(Workspace(memory), {"nowhere": "x"}, "stage", "ready") == []


def test_a_version_is_requested_by_its_models_config_or_its_own_tag() -> None:
    """The given config comes first; without any, nothing is requested."""
    tagged = model("a", "2", **{TAG_CONFIG: "tagged"})

    given = request_for(tagged, {"a": "given"}, "why", HERE)
    own = request_for(tagged, {}, "why", HERE)

    assert given is not None
    assert own is not None
    assert (given.config, own.config, str(own.model)) == ("given", "tagged", "azureml:a:2")
    assert request_for(model("a", "2"), {}, "why", HERE) is None


def test_a_version_has_one_request_id_in_its_workspace() -> None:
    """Whenever it is looked at; however long its name is."""
    ids = [
        request.request_id
        for request in (
            request_for(model(name, version), {name: "c"}, why, place)
            for name, version, why, place in (
                ("a", "1", "x", HERE),
                ("a", "1", "y", HERE),
                ("a", "2", "x", HERE),
                ("a", "1", "x", HERE.model_copy(update={"name": "there"})),
                ("b" * 255, "1", "x", HERE),
                ("b" * 255, "2", "x", HERE),
            )
        )
        if request
    ]

    assert ids[0] == ids[1]
    assert len(set(ids)) == 5


def test_a_tag_that_names_no_config_is_reported() -> None:
    """With the model that has it."""
    with pytest.raises(ConfigError, match="model a:1: config"):
        request_for(model("a", "1", **{TAG_CONFIG: ""}), {}, "why", HERE)
