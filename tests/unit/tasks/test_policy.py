"""What a step tries again, and what it does not."""

import asyncio

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from prefect.states import Failed

from saferollout.azure.access import translated
from saferollout.domain.errors import AzureFailed, ConfigError, DeploymentFailed, Refused
from tasks.scale import scale_live
from tasks.support.policy import worth_retrying


def judged(error: Exception) -> bool:
    """Whether a step that failed with this would be run again."""
    return worth_retrying(scale_live, None, Failed(data=error))  # type: ignore[arg-type]  # the run plays no part


def http(status: int, error_code: str | None = None) -> HttpResponseError:
    """Azure's client's error for a status; the storage's client knows a code besides."""
    error = HttpResponseError("no")
    error.status_code = status
    error.error_code = error_code  # type: ignore[attr-defined]  # the storage's client adds it
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((http(status), True) for status in (408, 429, 500, 502, 503, 504)),
        *((http(status), False) for status in (400, 401, 403, 404, 409)),
        (http(409, "BlobAlreadyExists"), True),
        (ServiceRequestError("connection refused"), True),
    ],
    ids=lambda value: str(getattr(value, "error_code", None) or getattr(value, "status_code", None) or value),
)
def test_what_may_pass_is_tried_again(error: Exception, expected: bool) -> None:
    """Throttling, server errors, broken connections and a lost race to upload a file are retried, refusals not."""
    with pytest.raises(AzureFailed) as caught, translated("scale"):
        raise error

    assert judged(caught.value) is expected


@pytest.mark.parametrize("error", [DeploymentFailed("no"), Refused("no"), ConfigError(), asyncio.CancelledError()])
def test_what_will_not_pass_is_not_tried_again(error: Exception) -> None:
    """A failed deployment, a refusal and a wrong config stay what they are."""
    assert judged(error) is False


def test_retries_are_spread() -> None:
    """Each retry waits longer than the one before, and not for all runs alike."""
    delays = scale_live.retry_delay_seconds

    assert isinstance(delays, list)
    assert delays == sorted(delays)
    assert len(delays) == scale_live.retries
    assert scale_live.retry_jitter_factor
