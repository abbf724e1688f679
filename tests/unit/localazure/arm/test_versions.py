"""The `api-version` of a request, and what Azure says of one that it does not know."""

import datetime

import pytest
from starlette.requests import Request

from localazure.arm import versions
from localazure.arm.errors import BadRequest

WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
TODAY = datetime.datetime.now(datetime.UTC).date()


def check(path: str, query: str, method: str = "GET") -> None:
    """Check a request as the management plane does."""
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    versions.require(Request(scope))
    versions.check(Request(scope), "local")


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (WORKSPACE, "2024-10-01"),
        (WORKSPACE, "2022-02-01-Preview"),
        (WORKSPACE, TODAY.isoformat()),
        (f"{WORKSPACE}/onlineEndpoints/e/providers/Microsoft.Insights/metrics", "2018-01-01"),
        ("/subscriptions/s/metrics:getBatch", "2023-10-01"),
        ("/subscriptions", "2022-12-01"),
        ("/tenants", f"{TODAY.isoformat()}-preview"),
    ],
)
def test_what_azure_knows_is_good(path: str, version: str) -> None:
    """And what is newer than all that local Azure knows: it may be older than its client."""
    check(path, f"api-version={version}")


@pytest.mark.parametrize("query", ["", "api-version=", "apiversion=2024-10-01"])
def test_there_must_be_one(query: str) -> None:
    """Wherever ARM answers."""
    for path in (WORKSPACE, "/subscriptions", "/subscriptions/s/metrics:getBatch"):
        with pytest.raises(
            BadRequest, match=r"^The api-version query parameter \(\?api-version=\) is required"
        ) as caught:
            check(path, query)
        assert (caught.value.status, caught.value.code) == (400, "MissingApiVersionParameter")
    check("/v1/workspaces/w/query", query)


@pytest.mark.parametrize(
    "version", ["2024-13-01", "1999-01-01", "2024-01-02", "latest", "2024-10-01-beta", "2999-01-01"]
)
def test_one_that_azure_does_not_know_is_refused(version: str) -> None:
    """With all that it knows, in the words of whoever answers the path."""
    for path, method, kind in (
        (f"{WORKSPACE}/onlineEndpoints/e/deployments", "GET", "workspaces/onlineEndpoints/deployments"),
        (f"{WORKSPACE}/onlineEndpoints/metrics/listKeys", "POST", "workspaces/onlineEndpoints"),
        ("/subscriptions/s/metrics:getBatch", "POST", "metrics"),
    ):
        with pytest.raises(BadRequest, match="2024-") as caught:
            check(path, f"api-version={version}", method)
        assert caught.value.code == "NoRegisteredProviderFound"
        start = (
            f"No registered resource provider found for location 'local' and API version '{version}' for type '{kind}'."
        )
        assert caught.value.message.startswith(f"{start} The supported api-versions are '2")
    with pytest.raises(
        BadRequest, match=f"The api-version '{version}' is invalid. The supported versions are '2"
    ) as caught:
        check("/subscriptions/s/resourcegroups", f"api-version={version}")
    assert caught.value.code == "InvalidApiVersionParameter"
