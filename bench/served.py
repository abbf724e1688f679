"""How long after Azure shows a change of traffic are users served as set, by the rollout's own requests?

    python -m bench.served                     # from the repository's root
    python -m bench.served --rounds 5

One endpoint on local Azure is shifted and rolled back again and again; after each change the answers to recorded
requests are looked at as a rollout does. What is printed says more of the rollout than of Azure: local Azure's gateway
follows at once, Azure's within a minute.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from localazure.testing import LocalAzure
from saferollout.config.recorded_requests import read_requests
from saferollout.gates.arrival import Served, Sight, look_who_serves
from saferollout.gates.scoring import Scorer
from tests.support.stack import DIABETES, Endpoint, Stack

CHANGES = {
    "shift to 10%": {"blue": 90, "green": 10},
    "rollback from 10%": {"blue": 100},
    "shift to 10% again": {"blue": 90, "green": 10},
    "shift to 100%": {"green": 100},
    "rollback from 100%": {"blue": 100},
}
"""What is done in each round, in this order, and the traffic after it."""


def main() -> int:
    """Measure, and print the seconds from the traffic that Azure shows to users being seen to be served so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds: int = parser.parse_args().rounds
    seen: dict[str, list[Served]] = {name: [] for name in CHANGES}
    with tempfile.TemporaryDirectory() as base, LocalAzure() as azure:
        os.environ.update(azure.environ)
        endpoint = Endpoint.bootstrap(Stack(Path(base), dict(azure.environ)), Path(base), "served")
        workspace = endpoint.workspace()
        workspace.create_deployment(
            endpoint.deployment("green-deployment.yml"), endpoint.name, "green", assets={}, tags={}
        )
        for _ in range(rounds):
            old = {"blue": 100}
            for name, new in CHANGES.items():
                workspace.update_endpoint(endpoint.name, traffic=new)
                seen[name].append(asyncio.run(_look(endpoint, old, new)))
                old = new
    print("| change | rounds | p50 | p99 | requests |\n|---|---|---|---|---|")
    for name, found in seen.items():
        p50, p99 = np.percentile([one.duration_s for one in found], [50, 99])
        print(f"| {name} | {rounds} | {p50:.2f} s | {p99:.2f} s | {np.mean([one.requests for one in found]):.0f} |")
    return int(any(one.sight is not Sight.AS_SET for found in seen.values() for one in found))


async def _look(endpoint: Endpoint, old: dict[str, int], new: dict[str, int]) -> Served:
    workspace, requests = endpoint.workspace(), read_requests(DIABETES / "requests.jsonl")
    uri = workspace.get_endpoint(endpoint.name).scoring_uri
    async with Scorer(uri, workspace.secret(endpoint.name)) as scorer:
        return await look_who_serves(scorer, requests, old=old, new=new)


if __name__ == "__main__":
    sys.exit(main())
