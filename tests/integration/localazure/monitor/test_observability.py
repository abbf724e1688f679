"""What was served, as Microsoft's own clients for Azure Monitor and Log Analytics read it."""

import asyncio
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import EnvironmentCredential
from azure.mgmt.monitor import MonitorManagementClient
from azure.monitor.query import LogsQueryClient, LogsQueryResult
from azure.monitor.querymetrics import MetricsClient, MetricsQueryResult

from localazure.monitor.traffic import Request, Traffic
from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for

LOG = "AmlOnlineEndpointTrafficLog"
HOUR = datetime.timedelta(hours=1)
NAMESPACE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"


@pytest.fixture(scope="module")
def served(arm: Arm, assets: Assets) -> Iterator[str]:
    """The ARM id of an endpoint whose blue has answered four requests, one of them pinned to nobody."""
    arm.endpoint("observed")
    arm.deploy("observed", "blue", assets)
    arm.endpoint("observed", traffic={"blue": 100})
    for _ in range(4):
        assert arm.score("observed", {"x": 1}).status_code == 200
    assert arm.score("observed", {"x": 1}, "nobody").status_code == 404
    yield f"{arm.workspace}/onlineEndpoints/observed"
    arm.run("DELETE", "onlineEndpoints/observed")


def requests_per_minute(client: MetricsClient, endpoint: str, which: str) -> MetricsQueryResult:
    """The last hour's, of the series that the filter `which` takes."""
    (result,) = client.query_resources(
        resource_ids=[endpoint],
        metric_namespace=NAMESPACE,
        metric_names=["RequestsPerMinute"],
        timespan=HOUR,
        granularity=datetime.timedelta(minutes=1),
        aggregations=["Total"],
        filter=which,
    )
    return result


def test_requests_per_minute_by_deployment_and_status(credential: EnvironmentCredential, served: str) -> None:
    """The batch client sees each series that was asked for; a minute without requests is a gap and no zero."""
    with MetricsClient(
        os.environ["AZURE_MONITOR_ENDPOINT"], credential, audience=os.environ["AZURE_MONITOR_ENDPOINT"]
    ) as client:

        def totals() -> dict[tuple[str, str], float]:
            result = requests_per_minute(client, served, "deployment eq '*' and statusCode eq '*'")
            return {
                (series.metadata_values["deployment"], series.metadata_values["statusCode"]): sum(
                    point.total for point in series.data if point.total is not None
                )
                for series in result.metrics[0].timeseries
            }

        wait_for(totals, lambda seen: seen == {("", "404"): 1, ("blue", "200"): 4}, timeout_s=20)


def test_latency_and_capacity_by_the_management_client(credential: EnvironmentCredential, served: str) -> None:
    """The resource's own page: latency of the endpoint, instances of the deployment, an unknown metric refused."""
    with MonitorManagementClient(
        credential,
        os.environ["AZURE_SUBSCRIPTION_ID"],
        base_url=os.environ["AZURE_MONITOR_ENDPOINT"],
        credential_scopes=[os.environ["AZURE_MONITOR_ENDPOINT"] + "/.default"],
    ) as client:

        def average(resource: str, metric: str) -> float | None:
            found = client.metrics.list(resource, metricnames=metric, interval="PT1M", aggregation="Average")
            points = [point.average for series in found.value[0].timeseries for point in series.data or []]
            return next((point for point in points if point is not None), None)

        assert wait_for(lambda: average(served, "RequestLatency_P99"), timeout_s=20) > 0
        assert average(f"{served}/deployments/blue", "DeploymentCapacity") == 1
        with pytest.raises(HttpResponseError, match="Failed to find metric configuration"):
            average(served, "Nonsense")


def test_the_traffic_log_by_kusto(credential: EnvironmentCredential, served: str) -> None:
    """Rows and sums by deployment and status; what is outside of the subset is refused in words."""
    endpoint = served.rpartition("/")[2]
    query = (
        f"{LOG} | where TimeGenerated > ago(1h) and EndpointName == '{endpoint}'"
        " | summarize requests = count(), p95 = percentile(TotalDurationMs, 95) by DeploymentName, ResponseCode"
        " | order by DeploymentName asc"
    )
    with LogsQueryClient(credential, endpoint=os.environ["AZURE_MONITOR_ENDPOINT"]) as client:
        workspace = os.environ["AZURE_LOG_ANALYTICS_WORKSPACE_ID"]

        def rows() -> list[list[object]]:
            found = client.query_workspace(workspace, query, timespan=HOUR)
            assert isinstance(found, LogsQueryResult)
            (table,) = found.tables
            assert table.columns == ["DeploymentName", "ResponseCode", "requests", "p95"]
            return [list(row)[:3] for row in table.rows]

        wait_for(rows, lambda seen: seen == [["", 404, 1], ["blue", 200, 4]], timeout_s=20)
        with pytest.raises(HttpResponseError, match=r"cannot run this query.*join"):
            client.query_workspace(workspace, f"{LOG} | join kind=inner (x)", timespan=HOUR)


def test_mirrored_requests_count_for_the_deployment_that_got_them(
    credential: EnvironmentCredential, arm: Arm, assets: Assets
) -> None:
    """In the log each has the id of the request that it is a copy of; in the metrics there are as many."""
    arm.endpoint("mirrored")
    for name in ("blue", "green"):
        arm.deploy("mirrored", name, assets)
    arm.endpoint("mirrored", traffic={"blue": 100}, mirrorTraffic={"green": 50})
    sent = {arm.score("mirrored", {"x": 1}).headers["x-request-id"] for _ in range(30)}
    query = f"{LOG} | where EndpointName == 'mirrored' | project DeploymentName, XRequestId, ResponseCode"
    here, log_workspace = os.environ["AZURE_MONITOR_ENDPOINT"], os.environ["AZURE_LOG_ANALYTICS_WORKSPACE_ID"]
    with (
        LogsQueryClient(credential, endpoint=here) as client,
        MetricsClient(here, credential, audience=here) as metrics,
    ):

        def logged(deployment: str) -> set[str]:
            found = client.query_workspace(log_workspace, query, timespan=HOUR)
            assert isinstance(found, LogsQueryResult)
            (table,) = found.tables
            assert {status for _, _, status in table.rows} <= {200}
            return {request for name, request, _ in table.rows if name == deployment}

        wait_for(lambda: logged("blue") == sent and logged("green"), timeout_s=20)

        def counted() -> float:
            result = requests_per_minute(metrics, f"{arm.workspace}/onlineEndpoints/mirrored", "deployment eq 'green'")
            (series,) = result.metrics[0].timeseries
            return sum(point.total or 0 for point in series.data)

        wait_for(lambda: counted() == len(logged("green")))  # a copy may come late
        assert logged("green") < sent
    arm.run("DELETE", "onlineEndpoints/mirrored")


def test_a_request_shows_after_the_ingestion_delay(azure: LocalAzure, arm: Arm, served: str) -> None:  # noqa: ARG001 - it has served
    """Not before: as on Azure, where it takes minutes."""
    log: Path = azure.state_dir / "traffic.jsonl"
    now = datetime.datetime.now(datetime.UTC)

    def visible(delay_s: float) -> list[Request]:
        traffic = Traffic(log, delay_s)
        asyncio.run(traffic.recall())
        return list(traffic.requests(now - HOUR, now + HOUR, "observed"))

    wait_for(lambda: visible(0), timeout_s=20)
    assert visible(3600) == []


def test_observability_needs_a_token(arm: Arm) -> None:
    """Also where the path names no subscription."""
    path = f"/v1/workspaces/{arm.environ['AZURE_LOG_ANALYTICS_WORKSPACE_ID']}/query"
    for method, url in (
        ("POST", path),
        ("GET", f"{arm.workspace}/onlineEndpoints/x/providers/Microsoft.Insights/metrics"),
    ):
        assert arm.http.request(method, url, headers={"Authorization": ""}, json={}).status_code == 401
