"""How long after the judge's verdict do the users have the live deployment back, whatever of Prefect is dead?

    python -m bench.way_back                     # from the repository's root
    python -m bench.way_back alive killed

A candidate turns bad when it has 10% of the traffic, in the moment in which Prefect's server is killed, begins to
answer everything 429, or to answer 20 s late or never. The verdict's moment is the one in the run's own evidence. The
traffic is back when local Azure has logged the change of traffic, and its gateway the last user's request that went to
the candidate. Fails above the limit of 5 s.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

from localazure.testing import LocalAzure
from saferollout_cli.demo import processes
from tests.support.stack import DIABETES, REPOSITORY, STAGE, Endpoint, Stack, started, wait_for
from tests.support.trouble import Strike, killed, late_candidate, slow, throttled

LIMIT_S = 5.0
USERS_PER_S = 50
STAGES = [{"traffic": share, "approval": False, "judge": STAGE | {"min_duration_s": 40}} for share in (10, 100)]


@contextmanager
def alive(stack: Stack, _: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """Nothing happens to Prefect."""
    yield stack.env, lambda _: None


TROUBLES: dict[str, Callable[[Stack, Path], AbstractContextManager[tuple[dict[str, str], Strike]]]] = {
    trouble.__name__: trouble for trouble in (alive, killed, throttled, slow)
}


def main() -> int:
    """Measure the named troubles, or all, and print how long each way back took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("troubles", nargs="*", default=list(TROUBLES), metavar="|".join(TROUBLES))
    names: list[str] = parser.parse_args().troubles
    if unknown := set(names) - TROUBLES.keys():
        parser.error(f"unknown: {', '.join(unknown)}")
    verdict_s: dict[str, float] = {}
    back_s: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as base, LocalAzure() as azure:
        os.environ.update(azure.environ)
        directory = Path(base)
        env = processes.prefect_env(directory) | azure.environ
        with processes.prefect_server(directory, env, REPOSITORY) as server:
            server.wait_until(processes.healthy(env["PREFECT_API_URL"]), 120)
            stack = Stack(directory, env)
            for name in names:
                verdict_s[name], back_s[name] = measure(stack, directory / name, name, azure.state_dir)
    print(f"\n{'Prefect is':<12}{'verdict after':>15}{'traffic back after':>20}{'ratio':>8}")
    for name in names:
        ratio = back_s[name] / back_s[names[0]]
        print(f"{name:<12}{verdict_s[name]:>13.1f} s{back_s[name]:>18.2f} s{ratio:>8.1f}")
    print(f"The limit is {LIMIT_S:.0f} s after the verdict.")
    return 1 if max(back_s.values()) > LIMIT_S else 0


def measure(stack: Stack, directory: Path, name: str, azure: Path) -> tuple[float, float]:
    """Seconds from the candidate's first bad answer to a user to the verdict, and from there to its last one."""
    directory.mkdir()
    endpoint = Endpoint.bootstrap(stack, directory, name)
    config, fails = late_candidate(endpoint, stages=STAGES)
    command = stack.command("run", str(config), "--approve", "auto", "--json")
    with TROUBLES[name](stack, directory) as (env, strike), users(endpoint), started(command, env) as run:
        wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)
        strike(run)
        fails.touch()
        out, errors = run.communicate()
    if run.returncode != 1:
        sys.exit(f"the run exited {run.returncode}:\n{errors}")
    verdict_at = datetime.fromisoformat(json.loads(out)["verdicts"][-1]["at"])
    bad = bad_answers(azure / "traffic.jsonl", endpoint.name)
    change = next(at for at in changes(azure / "localazure.log", endpoint.name) if at > verdict_at)
    endpoint.delete()
    return (verdict_at - bad[0]).total_seconds(), (max(change, bad[-1]) - verdict_at).total_seconds()


@contextmanager
def users(endpoint: Endpoint) -> Iterator[None]:
    """Users who send requests while the block lasts."""
    workspace = endpoint.workspace()
    arguments = {
        "uri": workspace.get_endpoint(endpoint.name).scoring_uri,
        "requests": str(DIABETES / "requests.jsonl"),
        "requests_per_s": USERS_PER_S,
        "tolerance": 160,
    }
    env = endpoint.stack.env | {"USERS_KEY": workspace.secret(endpoint.name)}
    with processes.users(arguments, endpoint.directory, env, REPOSITORY):
        yield


def bad_answers(log: Path, endpoint: str) -> list[datetime]:
    """When users' requests came to which the candidate failed; the judge's own ones are pinned to a deployment."""
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return [
        datetime.fromisoformat(line["time"])
        for line in lines
        if (line["endpoint"], line["deployment"]) == (endpoint, "green")
        and line["response_code"] != 200
        and line["pinned"] in (None, "-")
    ]


def changes(log: Path, endpoint: str) -> list[datetime]:
    """When the endpoint was changed."""
    change = re.compile(rf"(\S+ \S+) INFO \S+ (?:PUT|PATCH) \S+/onlineEndpoints/{endpoint} 20\d ")
    found = (change.match(line) for line in log.read_text().splitlines())
    return [datetime.fromisoformat(line[1].replace(",", ".")).astimezone() for line in found if line]


if __name__ == "__main__":
    sys.exit(main())
