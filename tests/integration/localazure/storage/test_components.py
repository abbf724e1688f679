"""Components of pipeline jobs, as the SDK registers them."""

from typing import Any

import pytest
from azure.ai.ml import MLClient, load_component
from azure.ai.ml.entities import CommandComponent
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.support.stack import REPOSITORY

HAND_OVER = REPOSITORY / "integrations" / "azureml" / "hand_over.yml"
NAME = "saferollout_hand_over"


def read() -> Any:
    """The last step of a pipeline job, as the SDK reads it."""
    return load_component(HAND_OVER)


def test_the_last_step_of_a_pipeline_job_is_registered(client: MLClient) -> None:
    """With its code and its environment; it is found again by its version and in lists, as it was written."""
    made = client.components.create_or_update(read())
    for found in (made, client.components.get(NAME, "1")):
        assert isinstance(found, CommandComponent)
        assert found.command == read().command
        assert {name: given.type for name, given in found.inputs.items()} == {
            name: given.type for name, given in read().inputs.items()
        }
        assert (found.id, found.code, found.is_deterministic) == (made.id, made.code, False)
    *_, name, _, version = made.environment.split("/")
    assert client.environments.get(name, version).conda_file == read().environment.conda_file
    assert NAME in [found.name for found in client.components.list()]
    assert "1" in [found.version for found in client.components.list(NAME)]
    with pytest.raises(ResourceNotFoundError):
        client.components.get("never", "1")


def test_a_version_of_a_component_stays_what_it_is(client: MLClient) -> None:
    """The same again is taken, and so is another version; another command of a version that is there is refused."""
    made = client.components.create_or_update(read())
    assert client.components.create_or_update(read()).id == made.id
    changed = read()
    changed.command = "python other.py"
    with pytest.raises(HttpResponseError, match="register the next one"):
        client.components.create_or_update(changed)
    changed.version = "2"
    client.components.create_or_update(changed)
    assert client.components.get(NAME, label="latest").version == "2"


def test_a_component_names_what_is_there(client: MLClient) -> None:
    """An environment that nobody has registered is refused, and nothing is kept."""
    client.components.create_or_update(read())
    lost = read()
    lost.environment, lost.version = "azureml:never:1", "9"
    with pytest.raises(ResourceNotFoundError, match="'1' of the environment 'never'"):
        client.components.create_or_update(lost)
    assert "9" not in [found.version for found in client.components.list(NAME)]
