"""What all clients of Azure share: who we are, and what their exceptions mean."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import (
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError, DefaultAzureCredential

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
            "environment", "AZURE_AUTHORITY_HOST", f"is {said!r}: {line_of(error)}", "correct or unset it"
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
            msg = f"could not {action}: nothing answered that could sign in: {line_of(error)}"
            raise AzureFailed(msg, retryable=True) from error
        msg = f"could not {action}: Azure did not accept the credentials: {line_of(error)}"
        raise AzureFailed(msg, status=status) from error
    except (DecodeError, json.JSONDecodeError) as error:
        msg = f"could not {action}: the answer is cut off or is not Azure's: {line_of(error)}"
        raise AzureFailed(msg, retryable=True) from error
    except HttpResponseError as error:
        code = getattr(error.error, "code", None)
        msg = f"could not {action}: {f'{code}: ' if code else ''}{line_of(error)}"
        if _is_busy(error):
            raise Busy(msg, status=409) from error
        # a file that somebody else uploaded at this moment is there for the next try
        uploaded = getattr(error, "error_code", None) == "BlobAlreadyExists"
        retryable = uploaded or error.status_code in RETRYABLE
        raise AzureFailed(msg, status=error.status_code, retryable=retryable) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        msg = f"could not {action}: no connection to Azure: {line_of(error)}"
        raise AzureFailed(msg, retryable=True) from error
    except MlException as error:
        msg = f"could not {action}: {line_of(error)}"
        raise AzureFailed(msg) from error


def _could_not_ask(error: Exception) -> bool:
    """Whether whoever gives tokens did not answer, or failed; azure-identity keeps of that only the words.

    An answer of Microsoft Entra carries a code.
    """
    return "Authentication failed:" in str(error) and "AADSTS" not in str(error)


def _is_busy(error: HttpResponseError) -> bool:
    """Whether it is an endpoint or a deployment that is in conflict: an asset's version that exists stays so."""
    request = getattr(error.response, "request", None)
    return error.status_code == 409 and "/onlineendpoints/" in str(getattr(request, "url", "")).lower()


def line_of(error: Exception) -> str:
    """What an exception of a client says, in one line."""
    message = getattr(getattr(error, "error", None), "message", None) or getattr(error, "message", None) or str(error)
    return " ".join(str(message).split())[:600]
