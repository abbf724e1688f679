"""What all clients of Azure share: who we are, and what their exceptions mean."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError, DefaultAzureCredential

from saferollout.azure.reason import reason_of
from saferollout.domain.errors import AzureFailed, Busy, ConfigError, Problem

RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})


def credential() -> DefaultAzureCredential:
    """Whoever the environment says that we are.

    Raises:
        ConfigError: The address at which to sign in is not one.
    """
    try:
        return _credential()
    except ValueError as error:
        said = os.environ.get("AZURE_AUTHORITY_HOST", "")
        problem = Problem(
            "environment", "AZURE_AUTHORITY_HOST", f"is {said!r}: {reason_of(error)}", "correct or unset it"
        )
        raise ConfigError(problem) from None


def _credential() -> DefaultAzureCredential:
    # an authority of one's own (a sovereign cloud, local Azure) is not known to Microsoft's instance discovery
    return DefaultAzureCredential(disable_instance_discovery="AZURE_AUTHORITY_HOST" in os.environ)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn the client's exceptions into one of ours, in one line.

    Raises:
        AzureFailed: Azure refused, failed or did not answer.
        Busy: Another operation on the same resource is under way.
    """
    try:
        yield
    except (ClientAuthenticationError, CredentialUnavailableError) as error:
        # without an answer nobody has signed in here; with one, a token has expired or was not accepted
        status = 401 if getattr(error, "response", None) is not None else None
        if status is None and _could_not_ask(error):
            msg = f"could not {action}: nothing answered that could sign in: {reason_of(error)}"
            raise AzureFailed(msg, retryable=True) from error
        msg = f"could not {action}: Azure did not accept the credentials: {reason_of(error)}"
        raise AzureFailed(msg, status=status) from error
    except (DecodeError, json.JSONDecodeError) as error:
        msg = f"could not {action}: the answer is cut off or is not Azure's: {reason_of(error)}"
        raise AzureFailed(msg, retryable=True) from error
    except HttpResponseError as error:
        msg = f"could not {action}: {reason_of(error)}"
        if _is_busy(error):
            raise Busy(msg, status=409) from error
        # a file that somebody else uploaded at this moment is there for the next try
        uploaded = getattr(error, "error_code", None) == "BlobAlreadyExists"
        retryable = uploaded or error.status_code in RETRYABLE or _met_a_conflict(error)
        raise AzureFailed(msg, status=error.status_code, retryable=retryable) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        msg = f"could not {action}: no connection to Azure: {reason_of(error)}"
        raise AzureFailed(msg, retryable=True) from error
    except AzureError as error:  # the SDK's own are among these
        msg = f"could not {action}: {reason_of(error)}"
        # an upload that was not answered is its cause; of a cloud's description that could not be read it keeps words
        unanswered = isinstance(error.__cause__, ServiceRequestError | ServiceResponseError)
        raise AzureFailed(msg, retryable=unanswered or "Unknown cloud environment" in msg) from error


_NO_ANSWER = re.compile(
    r"Authentication failed:"  # of a service principal
    r"|Token request error: \(\w+\) (None|429|5\d\d),"  # of a managed identity, as are the following
    r"|Connection aborted|Max retries exceeded|Failed to establish|timed out"
)


def _could_not_ask(error: Exception) -> bool:
    """Whether whoever gives tokens did not answer, or failed; azure-identity keeps of that only the words.

    An answer of Microsoft Entra carries a code.
    """
    return bool(_NO_ANSWER.search(str(error))) and "AADSTS" not in str(error)


def _is_busy(error: HttpResponseError) -> bool:
    """Whether it is an endpoint or a deployment that is in conflict: an asset's version that exists stays so."""
    return error.status_code == 409 and "/onlineendpoints/" in _url(error) and not _only_looks(error)


def _met_a_conflict(error: HttpResponseError) -> bool:
    """Whether what was in conflict may pass: a look, as at an operation, or an upload; an asset's version stays so."""
    is_version = "/versions/" in _url(error) and not _only_looks(error)
    return error.status_code == 409 and bool(_url(error)) and not is_version


def _url(error: HttpResponseError) -> str:
    return str(getattr(getattr(error.response, "request", None), "url", "")).lower()


def _only_looks(error: HttpResponseError) -> bool:
    """Whether the request was to change nothing; a POST gets keys and tokens."""
    return getattr(getattr(error.response, "request", None), "method", "") in ("GET", "POST")
