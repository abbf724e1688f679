"""How soon the judge catches harm, and how often it cries wolf, against the rules of others on the same traffic.

    python bench/judge.py                          # everything, into docs/ (judge.md and judge-results.*)
    python bench/judge.py --runs 100 --out results # a quick look

One hour of watching with the candidate at 10 % of the traffic, 2,000 runs a scenario, seeded. The judge has its
default settings; "with probes" it is also fed ten recorded requests a second to each deployment, as a rollout does.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import judge_traffic as traffic
import numpy as np
from judge_cost import measure_cost
from judge_report import write
from judge_simulations import ALPHA, SIMULATIONS, Array

REQUESTS_PER_S = (0.2, 1.0, 10.0, 100.0)


def _finite_median(times_s: Array) -> float | None:
    if not times_s.size or not math.isfinite(float(np.median(times_s))):
        return None
    return float(np.median(times_s))


def proportion(hits: int, runs: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval."""
    z, p = 1.96, hits / runs
    middle = (p + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def row(scenario: "Scenario", rule: str, alarms_s: Array, healthy_s: Array) -> dict[str, object]:
    """Return one rule's numbers in one scenario, in JSON's types, from its alarms by run (infinite for never)."""
    hits = int(np.isfinite(alarms_s).sum())
    low, high = proportion(hits, alarms_s.size)
    harmed_per_s = scenario.harmed * scenario.requests_per_s * traffic.SHARE
    return {
        "metric": scenario.metric,
        "scenario": scenario.name,
        "healthy": scenario.healthy,
        "requests_per_s": scenario.requests_per_s,
        "traffic": scenario.traffic,
        "rule": rule,
        "runs": alarms_s.size,
        "alarms": hits / alarms_s.size,
        "alarms_low": low,
        "alarms_high": high,
        "median_s": _finite_median(alarms_s),
        "users_harmed": harmed_per_s * float(np.minimum(alarms_s, traffic.WATCH_S).mean()),
        "said_healthy": float(np.isfinite(healthy_s).mean()) if healthy_s.size else None,
        "median_healthy_s": _finite_median(healthy_s),
    }


@dataclass(frozen=True)
class Scenario:
    """What to simulate."""

    metric: str
    name: str
    healthy: bool
    requests_per_s: float
    traffic: str
    harmed: float
    """The share of the candidate's requests whose user is worse off."""
    what: tuple[float, ...]
    """The rates or factors that the metric's simulation takes."""


def scenarios() -> Iterator[Scenario]:
    """Yield all scenarios."""
    for kind in traffic.TRAFFIC:
        for rps in REQUESTS_PER_S:
            for base in (0.001, 0.005, 0.02):
                yield Scenario("errors", f"{base:.1%}", True, rps, kind, 0, (base, base))
            for worse in (0.01, 0.02, 0.05):
                yield Scenario("errors", f"0.5% → {worse:.0%}", False, rps, kind, worse - 0.005, (0.005, worse))
            yield Scenario("latency", "same", True, rps, kind, 0, (1.0, 0.0))
            yield Scenario("latency", "+10%", False, rps, kind, 1, (1.1, 0.0))
            yield Scenario("latency", "+25%", False, rps, kind, 1, (1.25, 0.0))
            yield Scenario("latency", "5% of requests 5×", False, rps, kind, 0.05, (1.0, 0.05))
            yield Scenario("drift", "2%", True, rps, kind, 0, (0.02,))
            for rate in (0.05, 0.1):
                yield Scenario("drift", f"2% → {rate:.0%}", False, rps, kind, rate - 0.02, (rate,))


def simulate(scenario: Scenario, runs: int, seed: list[int]) -> list[dict[str, object]]:
    """Run one scenario and return a row for each rule."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[tuple[Array, Array]]] = {}
    chunks = SIMULATIONS[scenario.metric](rng, runs, scenario.requests_per_s, *scenario.what, scenario.traffic)
    for rule, alarms, said_healthy in chunks:
        parts.setdefault(rule, []).append((alarms, said_healthy))
    rows = []
    for rule, arrays in parts.items():
        alarms, said_healthy = (np.concatenate(column) for column in zip(*arrays, strict=True))
        rows.append(row(scenario, rule, alarms, said_healthy))
    return rows


def main() -> None:
    """Simulate, measure, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="runs a scenario")
    parser.add_argument("--seed", type=int, default=20240917)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs", help="where the results go")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    costs = measure_cost(options.seed)
    rows: list[dict[str, object]] = []
    todo = list(scenarios())
    with ProcessPoolExecutor(options.jobs) as pool:
        seeds = [[options.seed, number] for number in range(len(todo))]
        for number, found in enumerate(pool.map(simulate, todo, repeat(options.runs), seeds), 1):
            rows += found
            if number % 13 == 0:
                print(f"{number} of {len(todo)} scenarios", file=sys.stderr, flush=True)
    document = {"runs": options.runs, "seed": options.seed, "alpha": ALPHA, "cost": costs, "rows": rows}
    (options.out / "judge-results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    write(document, options.out)


if __name__ == "__main__":
    main()
