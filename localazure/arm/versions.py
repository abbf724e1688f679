"""The `api-version` of management requests: there must be one, and Azure must know it."""

import datetime
import re

from starlette.requests import Request

from localazure.arm.errors import BadRequest
from localazure.arm.ids import PROVIDER


def _newest_first(*lines: str) -> tuple[str, ...]:
    """Return the versions of all lines, each of which is a year with its months and days."""
    found = []
    for line in lines:
        year, *days = line.split()
        found += [f"{year}-{day}" for day in days]
    return tuple(sorted(found, reverse=True))


MACHINE_LEARNING = _newest_first(
    "2018 03-01-preview 11-19",
    "2019 05-01 06-01 11-01",
    "2020 01-01 02-18-preview 03-01 04-01 05-01-preview 05-15-preview 06-01 08-01 09-01-preview",
    "2021 01-01 03-01-preview 04-01 07-01",
    "2022 01-01-preview 02-01-preview 05-01 06-01-preview 10-01 10-01-preview 12-01-preview",
    "2023 02-01-preview 04-01 04-01-preview 06-01-preview 08-01-preview 10-01",
    "2024 01-01-preview 04-01 04-01-preview 07-01-preview 10-01 10-01-preview",
    "2025 01-01-preview 04-01 04-01-preview 06-01 07-01-preview 09-01 10-01-preview 12-01",
)
_METRICS = _newest_first(
    "2016 09-01",
    "2017 05-01-preview",
    "2018 01-01",
    "2019 07-01",
    "2021 05-01",
    "2023 05-01-preview 10-01",
    "2024 02-01",
)
_AUTOSCALE = _newest_first("2014 04-01", "2015 04-01", "2021 05-01-preview", "2022 10-01")
_RESOURCE_MANAGER = _newest_first(
    "2014 04-01-preview 04-01",
    "2015 01-01 11-01",
    "2016 02-01 06-01 07-01 09-01",
    "2017 03-01 05-01 05-10 06-01 08-01 12-01",
    "2018 01-01 02-01 05-01 06-01 07-01 08-01 09-01 11-01",
    "2019 03-01 05-01 05-10 06-01 07-01 08-01 09-01 10-01 11-01",
    "2020 01-01 05-01 06-01 07-01 08-01 09-01 10-01",
    "2021 01-01 04-01",
    "2022 01-01 03-01-preview 05-01 06-01 09-01 11-01-preview 12-01",
    "2023 03-01-preview 07-01 07-01-preview",
    "2024 03-01 07-01 08-01 11-01",
    "2025 03-01 04-01",
)

_PROVIDERS = (
    (re.compile(r"(?:/Microsoft\.Insights|^/subscriptions/[^/]+)/(metrics)(?::getBatch)?$", re.IGNORECASE), _METRICS),
    (re.compile(r"/Microsoft\.Insights/(autoscaleSettings.*)", re.IGNORECASE), _AUTOSCALE),
    (re.compile(f"/providers/{re.escape(PROVIDER)}/(.*)", re.IGNORECASE), MACHINE_LEARNING),
)
"""Paths, with what says the type of the resource, and the versions that it has; all else is ARM's own."""


def require(request: Request) -> None:
    """Check that the request has an `api-version`.

    Raises:
        BadRequest: It has none.
    """
    if _needs_one(request) and not request.query_params.get("api-version"):
        raise BadRequest(
            "The api-version query parameter (?api-version=) is required for all requests.",
            "MissingApiVersionParameter",
        )


def check(request: Request, location: str) -> None:
    """Check that Azure knows the request's `api-version`.

    A version that is newer than all that are listed here, and is not of a day to come, is good: local Azure may be
    older than its client.

    Raises:
        BadRequest: It does not.
    """
    if not _needs_one(request):
        return
    given = request.query_params["api-version"].lower()
    for path, versions in _PROVIDERS:
        if found := path.search(request.url.path):
            if not _is_good(given, versions):
                raise BadRequest(
                    f"No registered resource provider found for location '{location}' and API version '{given}' for"
                    f" type '{_type(request, found[1])}'. The supported api-versions are"
                    f" '{', '.join(reversed(versions))}'. The supported locations are '{location}'.",
                    "NoRegisteredProviderFound",
                )
            return
    if not _is_good(given, _RESOURCE_MANAGER):
        raise BadRequest(
            f"The api-version '{given}' is invalid. The supported versions are '{','.join(_RESOURCE_MANAGER)}'.",
            "InvalidApiVersionParameter",
        )


def _needs_one(request: Request) -> bool:
    """Return whether the request is for ARM: queries of logs have no version, the registry has others."""
    return request.url.path.lower().startswith(("/subscriptions", "/tenants"))


def _type(request: Request, below_provider: str) -> str:
    """Return the type of the resource, such as workspaces/onlineEndpoints, without the action of a POST."""
    parts = below_provider.split("/")
    if request.method == "POST" and len(parts) > 1 and len(parts) % 2:
        parts.pop()
    return "/".join(parts[::2])


def _is_good(given: str, versions: tuple[str, ...]) -> bool:
    return given in versions or _is_newer(given, versions[0])


def _is_newer(given: str, newest: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", given):
        return False
    try:
        day = datetime.date.fromisoformat(given[:10])
    except ValueError:
        return False
    return datetime.date.fromisoformat(newest[:10]) < day <= datetime.datetime.now(datetime.UTC).date()
