"""Does it hold in the large? Prefect on PostgreSQL and Redis, workers on hosts of their own, one of which dies.

    python -m bench.scale                        # from the repository's root; `make scale-test` installs what it needs
    python -m bench.scale --endpoints 3 --workers 2

Each host has a folder, a user (where root runs this) and a home of its own, and the environment of the wheel; its runs
clone a team's repository. All endpoints are rolled out at once, with both approvals and with users on each. While they
are under way the first host is killed for ever. Fails unless every rollout is promoted, no request of a user failed and
every change of an endpoint was a planned one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from localazure.core.certificates import trusting_only
from localazure.testing import LocalAzure
from saferollout_cli.demo import processes
from saferollout_cli.demo.processes import Process, free_port
from tests.chaos.core import Users
from tests.chaos.planned import check
from tests.support.stack import FINAL, REPOSITORY, Stack, wait_for
from tests.support.team import Host, Team, install_wheel

LIMIT_S = 1800
FIRST_USER = 61000
SYSTEM_PYTHON = "/usr/bin/python3"


def main() -> int:
    """Roll all endpoints out; print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as base, ExitStack() as started:
        directory = Path(base)
        directory.chmod(0o755)
        return _Scale(directory, started, options.endpoints, options.workers).run()


class _Scale:
    def __init__(self, directory: Path, started: ExitStack, endpoints: int, workers: int) -> None:
        self._directory = directory
        self._started = started
        self._names = [f"shop-{number}" for number in range(endpoints)]
        self._workers = workers
        self._began = time.monotonic()

    def run(self) -> int:
        """All of it; return the exit code."""
        recording = self._directory / "recording.jsonl"
        azure = self._started.enter_context(LocalAzure(None, "--strict", record=recording))
        exports = trusting_only(azure.environ)
        root = Path(shutil.copy(exports["SSL_CERT_FILE"], self._directory))  # for every host's user
        root.chmod(0o644)
        exports |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(root))
        os.environ.update(exports)
        team = Team(self._directory / "team")
        for name in self._names:
            team.add(name)
        stack = Stack(self._directory, self._prefect() | exports)
        stack.cli("setup", "--pull", team.publish())
        users = [self._users(team, name) for name in self._names]
        self._say(f"{len(users)} endpoints serve their users")
        hosts = self._hosts(stack.env)
        runs = {name: self._submit(stack, name) for name in self._names}
        self._say(f"{len(hosts)} workers are started, {len(runs)} rollouts are requested")
        ended = self._watch(stack, hosts[0], runs)
        return self._report(ended, users, recording)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {text}", flush=True)

    def _process(self, name: str, command: list[str], env: dict[str, str]) -> Process:
        return self._started.enter_context(Process(name, command, env, self._directory, REPOSITORY))

    def _prefect(self) -> dict[str, str]:
        """Start PostgreSQL, Redis, Prefect's API and its services, each in a process of its own."""
        env = processes.prefect_env(self._directory)
        redis, database = free_port(), free_port()
        self._process("redis", ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", ""], env)
        address = self._postgresql(database, env)
        env |= {
            "PREFECT_API_DATABASE_CONNECTION_URL": address,
            "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
            "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
            "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
            "PREFECT_SERVER_DOCKET_URL": f"redis://127.0.0.1:{redis}/1",
            "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
            "PREFECT_REDIS_MESSAGING_PORT": str(redis),
            "SAFEROLLOUT_HOME": str(REPOSITORY),
        }
        prefect = [sys.executable, "-m", "prefect", "server"]
        server = self._process("server", [*prefect, "start", "--no-services", "--host", "127.0.0.1"], env)
        server.wait_until(processes.healthy(env["PREFECT_API_URL"]), processes.START_S)
        self._process("services", [*prefect, "services", "start"], env)
        return env

    def _postgresql(self, port: int, env: dict[str, str]) -> str:
        """Start PostgreSQL with a new database; return its address."""
        (binaries,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        data = self._directory / "postgresql"
        data.mkdir()
        as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            shutil.chown(data, "postgres", "postgres")
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        initdb = [*as_user, str(binaries / "initdb"), "--auth=trust", "--username=prefect", str(data)]
        subprocess.run(initdb, env=env, cwd=data, check=True, capture_output=True)
        options = [
            "-D",
            str(data),
            "-p",
            str(port),
            "-c",
            f"unix_socket_directories={data}",
            "-c",
            "max_connections=300",
        ]
        server = self._process("postgresql", [*as_user, str(binaries / "postgres"), *options], env)
        ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        server.wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, processes.START_S)
        return f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"

    def _users(self, team: Team, name: str) -> Users:
        azure = team.bootstrap(name)
        return self._started.enter_context(Users(azure.get_endpoint(name).scoring_uri, azure.secret(name)))

    def _hosts(self, env: dict[str, str]) -> list[Host]:
        """Install the wheel, and start the workers."""
        own_users = os.geteuid() == 0 and os.access(SYSTEM_PYTHON, os.X_OK)
        python = install_wheel(self._directory, SYSTEM_PYTHON if own_users else sys.executable)
        results = self._directory / "results"
        results.mkdir()
        results.chmod(0o777)
        given = {name: value for name, value in env.items() if name not in ("PYTHONPATH", "SAFEROLLOUT_HOME")}
        hosts = []
        for number in range(self._workers):
            user = FIRST_USER + number if own_users else None
            host = Host(self._directory / f"host-{number}", given, results, python, user)
            hosts.append(host)
            self._started.enter_context(host.worker)
        return hosts

    def _submit(self, stack: Stack, name: str) -> str:
        deployment = stack.api("GET", "/deployments/name/rollout/rollout")["id"]
        body = {"parameters": {"config": name, "by": "Eve"}}
        return str(stack.api("POST", f"/deployments/{deployment}/create_flow_run", json=body)["id"])

    def _watch(self, stack: Stack, first: Host, runs: dict[str, str]) -> dict[str, str]:
        """Answer what is asked, and kill the first host when a third of the answers were given; return the ends."""
        answered: Counter[str] = Counter()
        ended: dict[str, str] = {}
        killed = False

        def look() -> bool | None:
            nonlocal killed
            for name, run in runs.items():
                if name in ended:
                    continue
                found = stack.run(run)
                if found["state_name"] == "Suspended":
                    answer = stack.command("approve", run, "--by", "Ada", "--comment", "looks good")
                    done = subprocess.run(
                        answer, env=stack.env, cwd=REPOSITORY, capture_output=True, text=True, check=False
                    )
                    answered[name] += done.returncode == 0
                elif found["state_name"] in FINAL and found["state_name"] != "Crashed":
                    ended[name] = found["state_name"]
                    self._say(f"{name}: {found['state_name']} {found['state']['message'] or ''}"[:150])
            if not killed and sum(answered.values()) >= len(runs) * 2 // 3:
                self._say(f"the first host is killed, with {first.worker.kill()} processes")
                killed = True
            return len(ended) == len(runs) or None

        wait_for("the end of all rollouts", look, LIMIT_S)
        self._say(f"answers: {sorted(answered.values())}")
        return ended

    def _report(self, ended: dict[str, str], users: list[Users], recording: Path) -> int:
        took_s = time.monotonic() - self._began
        failures = [failure for one in users for failure in one.failures]
        planned = check(recording)
        broken = [text for found in planned.values() for text in found.broken]
        print(f"\n{len(ended)} rollouts: {dict(Counter(ended.values()))} in {took_s:.0f} s")
        print(f"{sum(one.sent for one in users)} requests of users, {len(failures)} failed {failures[:3]}")
        changes = sum(found.changes for found in planned.values())
        print(f"{changes} changes of endpoints, {len(broken)} unplanned {broken[:3]}")
        return 0 if set(ended.values()) == {"Completed"} and not failures and not broken else 1


if __name__ == "__main__":
    sys.exit(main())
