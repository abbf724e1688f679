"""Settings of deployments: what is taken, and what is refused."""

import pytest

from localazure.arm.errors import BadRequest
from localazure.resources.deployment_documents import DeploymentPropertiesBody
from localazure.resources.deployment_settings import complete

NUMBERS = ["1", 1, "0.5", "1.", ".5", "+2", "1e3", "1E3", "12e-6", "1.5e+9"]
SUFFIXED = ["100m", "5n", "7u", "1k", "1Ki", "2M", "2Mi", "1G", "1Gi", "1T", "1Ti", "1P", "1Pi", "1E", "1Ei"]


def kubernetes(amount: object) -> DeploymentPropertiesBody:
    """What a client asks for that limits the memory so."""
    limits = {"containerResourceLimits": {"memory": amount}}
    return DeploymentPropertiesBody.parse(
        {"endpointComputeType": "Kubernetes", "containerResourceRequirements": limits}
    )


@pytest.mark.parametrize("amount", [*NUMBERS, *SUFFIXED])
def test_amounts_of_kubernetes_are_kept_as_they_are(amount: object) -> None:
    """With all of its suffixes, and with exponents."""
    found = complete(kubernetes(amount), "Kubernetes").container_resource_requirements
    assert found
    assert found.container_resource_limits
    assert found.container_resource_limits.memory == amount


@pytest.mark.parametrize(
    "amount", ["", ".", "-1", "1 Gi", "1gi", "1K", "1mi", "1e", "1e3Gi", "Gi", "1.5.5", "²", [], {}, True]
)
def test_what_is_no_amount_is_refused(amount: object) -> None:
    """400, with the name of the amount."""
    with pytest.raises(BadRequest, match=r"containerResourceLimits\.memory must be an amount as Kubernetes writes it"):
        complete(kubernetes(amount), "Kubernetes")
