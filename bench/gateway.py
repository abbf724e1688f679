"""Does local Azure lose a request while its traffic and its instances change all the time?

    python bench/gateway.py                 # 300 requests/s, 200 traffic changes, 20 scale changes
    python bench/gateway.py --rate 100 --traffic-changes 20 --scale-changes 2

wrk, a load generator in C, sends the requests, each of which must be answered 200. Meanwhile azure-ai-ml shifts traffic
between two deployments, and scales both between one instance and three. Installs wrk with apt where it is missing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    CodeConfiguration,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    OnlineRequestSettings,
)
from azure.identity import EnvironmentCredential

from localazure.testing import LocalAzure

ENDPOINT = "bench"
CONNECTIONS = 40
STARTING_S = 3

SCORE = "def init():\n    pass\n\n\ndef run(raw_data):\n    return [1.0]\n"
CONDA = "dependencies:\n  - python=3.11\n  - pip:\n      - azureml-inference-server-http==1.5.1\n"
# wrk has no rate of its own: each request waits for its place in a timetable.
WRK = """
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } moment; int clock_gettime(int, moment *);")
local moment, rate, began, sent = ffi.new("moment"), tonumber(os.getenv("RATE")), nil, 0
local function now()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.s) + tonumber(moment.ns) / 1e9
end
wrk.method, wrk.body = "POST", "[]"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")
wrk.headers["Content-Type"] = "application/json"
function delay()
  began = began or now()
  sent = sent + 1
  return math.max(0, math.floor((began + sent / rate - now()) * 1000))
end
function done(summary, latency)
  local e = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"seconds":%f,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"p50_ms":%f,"p99_ms":%f,"max_ms":%f}',
    summary.requests, summary.duration / 1e6, e.status, e.connect, e.read, e.write, e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
"""


def main() -> int:
    """Measure while traffic and scale change; 0 if every request was answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=300, help="requests per second")
    parser.add_argument("--traffic-changes", type=int, default=200)
    parser.add_argument("--scale-changes", type=int, default=20)
    options = parser.parse_args()
    require_wrk()
    with tempfile.TemporaryDirectory() as directory, LocalAzure(timing="instant") as azure:
        os.environ.update(azure.environ)
        client = MLClient(
            EnvironmentCredential(disable_instance_discovery=True),
            os.environ["AZURE_SUBSCRIPTION_ID"],
            os.environ["AZURE_RESOURCE_GROUP"],
            os.environ["AZUREML_WORKSPACE_NAME"],
        )
        deploy(client, Path(directory))
        load = start_load(client, Path(directory), options.rate)
        time.sleep(STARTING_S)  # under full load before the first change
        started = time.monotonic()
        scaling = threading.Thread(target=lambda: scale(client, options.scale_changes))
        scaling.start()
        shift(client, options.traffic_changes, alive=scaling.is_alive)
        scaling.join()
        changed_s = time.monotonic() - started
        load.send_signal(2)  # wrk then says what it has seen
        _, output = load.communicate(timeout=60)
    found: dict[str, Any] = json.loads(output[output.index("{") :])
    lost = sum(found[kind] for kind in ("status", "connect", "read", "write", "timeout"))
    print(f"{options.traffic_changes} traffic changes and {options.scale_changes} scale changes in {changed_s:.0f} s")
    print(f"{found['requests']} requests, {found['requests'] / found['seconds']:.0f} a second, {lost} lost: {found}")
    return 1 if lost else 0


def require_wrk() -> None:
    """Install wrk where it is missing."""
    if not shutil.which("wrk"):
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "wrk"], check=True, stdout=subprocess.DEVNULL)


def deploy(client: MLClient, directory: Path) -> None:
    """Two deployments, as small as they can be."""
    (directory / "code").mkdir()
    (directory / "code" / "score.py").write_text(SCORE)
    (directory / "conda.yml").write_text(CONDA)
    endpoint = client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=ENDPOINT)).result()
    for name in ("blue", "green"):
        client.online_deployments.begin_create_or_update(
            ManagedOnlineDeployment(
                name=name,
                endpoint_name=ENDPOINT,
                environment=Environment(image="local/none", conda_file=directory / "conda.yml"),
                code_configuration=CodeConfiguration(code=str(directory / "code"), scoring_script="score.py"),
                instance_type="Standard_DS3_v2",
                instance_count=1,
                request_settings=OnlineRequestSettings(
                    max_concurrent_requests_per_instance=CONNECTIONS, request_timeout_ms=30_000
                ),
            )
        ).result()
    endpoint.traffic = {"blue": 50, "green": 50}
    client.online_endpoints.begin_create_or_update(endpoint).result()


def start_load(client: MLClient, directory: Path, rate: int) -> "subprocess.Popen[str]":
    """wrk, until it is interrupted."""
    script = directory / "load.lua"
    script.write_text(WRK)
    key = client.online_endpoints.get_keys(ENDPOINT).primary_key
    url = client.online_endpoints.get(ENDPOINT).scoring_uri
    argv = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", "1h", "--timeout", "30s"]
    return subprocess.Popen(
        [*argv, "--script", str(script), url],
        env={**os.environ, "KEY": str(key), "RATE": str(rate)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def shift(client: MLClient, changes: int, alive: Callable[[], bool]) -> None:
    """Change the traffic so often; and spread over the scale changes, as long as there are some."""
    for number in range(changes):
        endpoint = client.online_endpoints.get(ENDPOINT)
        share = (0, 10, 50, 90, 100)[number % 5]
        endpoint.traffic = {"blue": 100 - share, "green": share}
        client.online_endpoints.begin_create_or_update(endpoint).result()
        print(f"\rtraffic change {number + 1}, {'scaling' if alive() else 'not scaling'} ", end="", file=sys.stderr)
    print(file=sys.stderr)


def scale(client: MLClient, changes: int) -> None:
    """Change the number of instances so often, of one deployment after the other."""
    for number in range(changes):
        deployment = client.online_deployments.get(("blue", "green")[number % 2], ENDPOINT)
        deployment.instance_count = (2, 2, 3, 3, 1, 1)[number % 6]
        client.online_deployments.begin_create_or_update(deployment).result()


if __name__ == "__main__":
    sys.exit(main())
