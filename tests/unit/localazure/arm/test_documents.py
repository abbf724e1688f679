"""Request bodies as models."""

from typing import Any

import pytest

from localazure.arm.errors import ArmError
from localazure.resources.deployment_documents import DeploymentBody


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"etag": 1}, 501, "the property 'etag'"),
        ({"properties": {"etag": 1}, "tags": 5}, 501, "the property 'properties.etag'"),
        ({"tags": 5, "properties": {"etag": 1}}, 400, "'tags' must be an object, not 5"),
        ({"properties": {"instance_type": "x"}}, 501, "the property 'properties.instance_type'"),
        ({"properties": {"livenessProbe": {"path": "/"}}}, 501, "the property 'properties.livenessProbe.path'"),
        ({"properties": {"livenessProbe": []}}, 400, "'properties.livenessProbe' must be an object"),
        ({"properties": {"dataCollector": {"collections": {"x": None}}}}, 400, "collections.x' must be an object"),
        ({"properties": {"model": 5}}, 400, "'properties.model' must be a string, not 5"),
    ],
)
def test_what_comes_first_in_a_body_is_reported(body: dict[str, Any], status: int, message: str) -> None:
    """A property that local Azure does not know, or a value of the wrong kind, at any depth."""
    with pytest.raises(ArmError) as caught:
        DeploymentBody.parse(body)
    assert (caught.value.status, message in caught.value.message) == (status, True)


def test_a_property_without_a_value_says_nothing() -> None:
    """Whatever its name; one that is known is remembered as given."""
    body = DeploymentBody.parse({"etag": None, "tags": None, "properties": {"novelty": None, "model": None}})
    assert body.model_fields_set == {"tags", "properties"}
    assert body.properties is not None
    assert (body.properties.present(), body.properties.changes()) == ({}, {"model": None})
