"""The page to look at, and the page for Prometheus."""

import re
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def looked_at(arm: Arm, assets: Assets) -> Iterator[Arm]:
    """An endpoint with two deployments, one of which was asked for what it cannot answer."""
    arm.endpoint("looked-at")
    arm.deploy("looked-at", "blue", assets)
    arm.deploy("looked-at", "green", assets, model=2)
    arm.endpoint("looked-at", traffic={"blue": 100, "green": 0}, mirrorTraffic={"green": 20})
    for _ in range(6):
        arm.score("looked-at", {}, "blue")
    assert arm.score("looked-at", {"raise": "no"}, "green").status_code == 424
    yield arm
    arm.run("DELETE", "onlineEndpoints/looked-at")


def page(arm: Arm, query: str = "") -> httpx.Response:
    """As a browser without any token gets it."""
    return httpx.get(f"{arm.url}/{query}", verify=arm.tls).raise_for_status()


def test_the_page_shows_what_there_is(looked_at: Arm) -> None:
    """Endpoints, deployments, states, traffic, rates, errors, operations."""
    shown = wait_for(lambda: page(looked_at).text, lambda seen: "100.0%" in seen, 10)
    text = re.sub(r"<[^>]+>", " ", shown)
    assert re.search(r"looked-at\s+Succeeded", text)
    assert "blue 100%" in text
    assert re.search(r"green\s+Succeeded\s+scale-model:2\s+1 of 1\s+0%\s+20%", text)
    assert re.search(r"blue\s+Succeeded\s+scale-model:1\s+1 of 1\s+100%\s+–\s+0\.1\s+0\.0%", text)
    assert re.search(r"create a deployment\s+looked-at / green\s+Succeeded", text)


def test_the_page_is_live_and_safe(azure: LocalAzure, looked_at: Arm) -> None:
    """Its part that changes is there alone; no script from elsewhere, no key, no token, and nothing can be written."""
    whole, part = page(looked_at), page(looked_at, "?part=now")
    assert "<script" in whole.text
    assert "<script" not in part.text
    assert "default-src 'none'" in whole.headers["content-security-policy"]
    # the text between the tags may say anything: a build's message names packages and addresses
    assert not re.search(r"<[^>]*(\bsrc=|\bhref=|https?:)", whole.text)
    assert all("//" not in script for script in re.findall(r"<script>.*?</script>", whole.text, re.DOTALL))
    for secret in (looked_at.key("looked-at"), azure.environ["LOCALAZURE_ADMIN_TOKEN"]):
        assert secret not in whole.text
    assert httpx.post(f"{looked_at.url}/", verify=looked_at.tls).status_code == 501


def test_faults_in_force_are_shown(azure: LocalAzure, looked_at: Arm) -> None:
    """With what they are for, as text and not as markup."""
    with azure.chaos.delay(1, path="<b>bold</b>"):
        assert "&lt;b&gt;bold&lt;/b&gt;" in page(looked_at).text
    assert "Faults in force" not in page(looked_at).text
    with azure.chaos.outage("looked-at"):
        assert "Outage" in page(looked_at).text
    assert "Outage" not in page(looked_at).text


def test_prometheus_reads_its_page(looked_at: Arm) -> None:
    """Requests by deployment and status, durations, traffic, instances, states; each name begins with localazure_."""

    def read() -> dict[tuple[str, ...], float]:
        text = httpx.get(f"{looked_at.url}/metrics", verify=looked_at.tls).raise_for_status().text
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    failed = ("localazure_scoring_requests_total", "green", "looked-at", "live", "424")
    found = wait_for(read, lambda seen: failed in seen, 10)
    assert found[failed] == 1
    assert found["localazure_scoring_requests_total", "blue", "looked-at", "live", "200"] == 6
    assert found["localazure_scoring_request_duration_seconds_count", "blue", "looked-at", "live"] == 6
    assert found["localazure_traffic_percent", "blue", "looked-at", "live"] == 100
    assert found["localazure_traffic_percent", "green", "looked-at", "mirror"] == 20
    assert found["localazure_instances_ready", "green", "looked-at"] == 1
    assert found["localazure_endpoint_state", "looked-at", "Succeeded"] == 1
    assert found["localazure_management_request_duration_seconds_count", "PUT", "201"] >= 3
    assert all(name.startswith("localazure_") for name, *_ in found)
