"""What an answer of 409 means: somebody else's change, a look that may be repeated, or a conflict for good."""

from types import SimpleNamespace

import pytest
from azure.ai.ml.exceptions import ModelException
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.rest import HttpRequest

from saferollout.azure.access import translated
from saferollout.domain.errors import AzureFailed, Busy

WORKSPACE = "https://azure/workspaces/w"


@pytest.mark.parametrize(
    ("method", "path", "is_busy", "is_retryable"),
    [
        ("PUT", "onlineEndpoints/shop", True, False),
        ("DELETE", "onlineEndpoints/shop/deployments/blue", True, False),
        ("GET", "onlineEndpoints/shop", False, True),
        ("POST", "onlineEndpoints/shop/listKeys", False, True),
        ("GET", "mfeOperationsStatus/1", False, True),
        ("PUT", "models/m/versions/1", False, False),
        ("PUT", "storage.blob/upload/score.py", False, True),
    ],
)
def test_a_conflict(method: str, path: str, is_busy: bool, is_retryable: bool) -> None:
    """A change waits for another one, a look or an upload is repeated, and a version that exists stays so."""
    refusal = HttpResponseError("Conflict")
    refusal.status_code = 409
    refusal.response = SimpleNamespace(text=str, headers={}, request=HttpRequest(method, f"{WORKSPACE}/{path}"))

    with pytest.raises(AzureFailed) as failed, translated("do it"):
        raise refusal

    assert (isinstance(failed.value, Busy), failed.value.retryable) == (is_busy, is_retryable)


@pytest.mark.parametrize(
    ("cause", "is_retryable"),
    [(ServiceRequestError("refused"), True), (ServiceResponseError("cut"), True), (ValueError("wrong"), False)],
)
def test_what_the_sdk_wraps(cause: Exception, is_retryable: bool) -> None:
    """A registration that nobody answered is tried again, although the SDK raises an exception of its own for it."""
    with pytest.raises(AzureFailed) as failed, translated("do it"):
        raise _wrapped(cause) from cause

    assert failed.value.retryable == is_retryable


def _wrapped(cause: Exception) -> AzureError:
    """As the SDK makes it where a deployment's model is registered."""
    made: AzureError = ModelException(
        message=f"Error with model: {cause}",
        no_personal_data_message="Error getting model",
        error=cause,
    )
    return made
