"""The judge's Prometheus source with Prometheus itself, which scrapes local Azure."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from saferollout.config.sources import SourceConfig
from saferollout.gates.sources.counts import Ledger
from saferollout.gates.sources.prometheus import Prometheus
from saferollout.gates.sources.windows import Windows
from tests.support.localazure.arm import Arm, Assets, wait_for
from tests.support.programs import program

REQUESTS = 'sum by (deployment) (increase(localazure_scoring_requests_total{endpoint="scraped"}[1m]))'
ERRORS = REQUESTS.replace('"}', '", status=~"4..|5.."}')


@pytest.fixture
def prometheus(arm: Arm, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes local Azure every second."""
    binary = program("prometheus")
    azure = httpx.URL(arm.environ["ARM_CLOUD_METADATA_URL"])
    scrape = {
        "job_name": "localazure",
        "scheme": "https",
        "scrape_interval": "1s",
        "tls_config": {"ca_file": arm.environ["REQUESTS_CA_BUNDLE"]},
        "static_configs": [{"targets": [f"{azure.host}:{azure.port}"]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        binary,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with subprocess.Popen(command, env={"PATH": os.environ["PATH"]}) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def test_requests_are_counted_by_deployment(arm: Arm, assets: Assets, prometheus: str) -> None:
    """About as many as were sent after Prometheus first looked; the deployment that got none is not there."""
    arm.endpoint("scraped")
    arm.deploy("scraped", "blue", assets)
    arm.endpoint("scraped", traffic={"blue": 100})

    def known(at_least: int) -> bool:
        return value('sum(localazure_scoring_requests_total{endpoint="scraped", deployment="blue"})', at_least)

    def looked(times: int) -> bool:
        query = 'sum(count_over_time(localazure_scoring_requests_total{endpoint="scraped", deployment="blue"}[10m]))'
        return value(query, times)

    def value(query: str, at_least: int) -> bool:
        try:
            found = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]
        except (httpx.HTTPError, ValueError):
            return False
        return bool(found) and float(found[0]["value"][1]) >= at_least

    assert arm.score("scraped", {"x": 1}).status_code == 200
    wait_for(lambda: looked(1), timeout_s=20)
    begun = datetime.now(UTC)
    wait_for(lambda: looked(3), timeout_s=20)
    for number in range(12):  # one a look: what comes between the looks around a minute's end is not counted
        assert arm.score("scraped", {"x": 1}).status_code == 200
        wait_for(partial(known, 2 + number), timeout_s=20)
    config = SourceConfig.model_validate(
        {"kind": "prometheus", "url": prometheus, "requests": REQUESTS, "errors": ERRORS}
    )
    times = iter([begun - timedelta(minutes=1)])
    minutes = Windows(60, 0, clock=lambda: next(times, begun + timedelta(hours=1)))
    source = Prometheus(config, minutes, Ledger(), candidate="blue", live="green")

    async with aclosing(source.batches()) as batches:
        told = [(await anext(batches)).batch for _ in range(2)]

    assert sum(batch.alone_requests for batch in told) == pytest.approx(12, abs=5)
    assert sum(batch.candidate_requests + batch.live_requests + batch.alone_errors for batch in told) == 0
