"""What is measured of the machine and of the gateway, as Microsoft's own client for metrics reads it."""

import contextlib
import datetime
import os
from collections.abc import Iterator

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import EnvironmentCredential
from azure.monitor.querymetrics import MetricsClient

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for

NAMESPACE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"


@pytest.fixture
def metrics(credential: EnvironmentCredential) -> Iterator[MetricsClient]:
    """As in any program."""
    here = os.environ["AZURE_MONITOR_ENDPOINT"]
    with MetricsClient(here, credential, audience=here) as client:
        yield client


@pytest.fixture(scope="module")
def sampled(arm: Arm, assets: Assets) -> Iterator[str]:
    """The ARM id of an endpoint with a deployment that serves."""
    arm.endpoint("sampled")
    arm.deploy("sampled", "blue", assets)
    arm.endpoint("sampled", traffic={"blue": 100})
    yield f"{arm.workspace}/onlineEndpoints/sampled"
    arm.run("DELETE", "onlineEndpoints/sampled")


def measured(client: MetricsClient, resource: str, *metrics: str, which: str | None = None) -> dict[str, float]:
    """The highest value of each metric in the last ten minutes; without those that have none."""
    (result,) = client.query_resources(
        resource_ids=[resource],
        metric_namespace=NAMESPACE + ("/deployments" if "/deployments/" in resource else ""),
        metric_names=list(metrics),
        timespan=datetime.timedelta(minutes=10),
        granularity=datetime.timedelta(minutes=1),
        aggregations=["Average", "Maximum"],
        filter=which,
    )
    return {
        metric.name: max(highest)
        for metric in result.metrics
        if (highest := [point.maximum for series in metric.timeseries for point in series.data if point.maximum])
    }


def test_what_an_instance_uses_of_the_machine(
    metrics: MetricsClient, azure: LocalAzure, arm: Arm, sampled: str
) -> None:
    """Shares of its processors, its memory and its disk; by instance where that is asked for."""
    shares = ("CpuUtilizationPercentage", "CpuMemoryUtilizationPercentage", "DiskUtilization")
    blue = f"{sampled}/deployments/blue"

    def used() -> dict[str, float]:
        assert arm.score("sampled", {"x": 1}).status_code == 200
        return measured(metrics, blue, *shares, which="instanceId eq '*'")

    found = wait_for(used, lambda seen: seen.keys() == set(shares), timeout_s=40)
    assert all(0 < percent <= 100 for percent in found.values())
    assert measured(metrics, blue, *shares, which="instanceId eq 'another'") == {}
    with azure.chaos.disk_full():
        wait_for(lambda: measured(metrics, blue, "DiskUtilization"), lambda seen: seen == {"DiskUtilization": 100}, 40)


def test_connections_are_counted(metrics: MetricsClient, arm: Arm, sampled: str) -> None:
    """Those that are open, and those that are new, at any endpoint of this local Azure."""
    uri = arm.get("onlineEndpoints/sampled")["properties"]["scoringUri"]
    with contextlib.ExitStack() as open_ones:
        for _ in range(3):
            open_ones.enter_context(httpx.Client(verify=arm.tls)).get(uri)
        names = ("ConnectionsActive", "NewConnectionsPerSecond")
        found = wait_for(
            lambda: measured(metrics, sampled, *names), lambda seen: len(seen) == 2 and seen[names[0]] >= 3, 40
        )
    assert found["NewConnectionsPerSecond"] > 0


@pytest.mark.parametrize(
    ("metric", "which"),
    [
        ("GpuUtilizationPercentage", None),
        ("GpuMemoryUtilizationPercentage", None),
        ("GpuEnergyJoules", None),
        ("DataCollectionEventsPerMinute", None),
        ("DataCollectionErrorsPerMinute", None),
        ("RequestsPerMinute", None),
        ("DiskUtilization", "disk eq '*'"),
        ("DeploymentCapacity", "State eq '*'"),
    ],
)
def test_metrics_without_a_counterpart_are_refused(
    metric: str, which: str | None, metrics: MetricsClient, sampled: str
) -> None:
    """Of a deployment: with a word about what is wrong, rather than without a value."""
    with pytest.raises(HttpResponseError, match=which or f"Failed to find metric configuration for {metric}") as caught:
        measured(metrics, f"{sampled}/deployments/blue", metric, which=which)
    assert caught.value.status_code == 400
