"""The lock and the way back on local Azure, by processes that know nothing of each other.

SAFEROLLOUT_RACES says how many races there are; 16 by default, which takes some 15 seconds.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config import project
from saferollout.config.project import resolve_workspace
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record
from saferollout.rollout.retire import end
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.shift import shift_traffic
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import PROJECT
from tests.support.localazure.users import Users

RACES = int(os.environ.get("SAFEROLLOUT_RACES", "16"))
LATE_S = 0.7
NAMES = ("race-1", "race-2", "race-3", "race-4")
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def configs(arm: Arm, assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """A rollout's config for each endpoint, which serves."""
    made = []
    for name in NAMES:
        arm.endpoint(name)
        arm.deploy(name, "blue", assets)
        arm.endpoint(name, traffic={"blue": 100})
        directory = Path(shutil.copytree(PROJECT, tmp_path_factory.mktemp(name) / "project"))
        (directory / "endpoint.yml").write_text(yaml.safe_dump({"name": name, "auth_mode": "key"}))
        green = directory / "green-deployment.yml"
        green.write_text(green.read_text().replace("endpoint_name: scale", f"endpoint_name: {name}"))
        (directory / "requests.jsonl").write_text('{"request": {"x": 1}}\n')
        content = {"endpoint": "endpoint.yml", "deployment": "green-deployment.yml"}
        (directory / "rollout.yaml").write_text(yaml.safe_dump(content))
        made.append(directory / "rollout.yaml")
    yield made
    for name in NAMES:
        arm.run("DELETE", f"onlineEndpoints/{name}")


def tell(racers: list[subprocess.Popen[str]], line: str) -> list[str]:
    """Give all of them the line at once; what each of them answers."""
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(f"{line}\n")
        racer.stdin.flush()
    return [answer(racer) for racer in racers]


def answer(racer: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert racer.stdout is not None
    line = racer.stdout.readline()
    assert line, "it has ended"
    return line.strip()


def test_one_of_two_starts_at_the_same_instant_wins(azure: LocalAzure, arm: Arm, configs: list[Path]) -> None:
    """Exactly one; the other is refused, with who has the endpoint and since when, and has changed nothing.

    In every other round the first change that is sent arrives late, when the other one's has been made and read back.
    """
    command = [sys.executable, "-m", "tests.support.racer"]
    won = {"ann": 0, "bob": 0}
    with ExitStack() as started:
        racers = [
            started.enter_context(
                subprocess.Popen(
                    [*command, name, *map(str, configs)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
            for name in won
        ]
        for racer in racers:
            started.callback(racer.kill)
            assert answer(racer) == "ready"
        for number in range(-(-RACES // len(NAMES))):
            with ExitStack() as late:
                for name in NAMES if number % 2 else ():
                    late.enter_context(azure.chaos.delay(LATE_S, method="PUT", path=f"onlineEndpoints/{name}", times=1))
                ends = dict(zip(won, map(json.loads, tell(racers, f"go {number}")), strict=True))
            for name in NAMES:
                refusals = {owner: end[name] for owner, end in ends.items()}
                (winner,) = [owner for owner, refusal in refusals.items() if not refusal]
                (refusal,) = filter(None, refusals.values())
                shown = arm.get(f"onlineEndpoints/{name}")
                record = Record.from_tags(shown["tags"])
                assert record is not None
                assert record.owner.name == f"{winner}@laptop"
                assert f"begun by {winner}@laptop at {record.since:%Y-%m-%d %H:%M:%S}" in refusal
                assert shown["properties"]["traffic"] == {"blue": 100}
                won[winner] += 1
            assert tell(racers, "free") == ["free", "free"]
    assert sum(won.values()) >= RACES


def test_the_old_deployment_is_back_in_one_change(azure: LocalAzure, arm: Arm, configs: list[Path]) -> None:
    """Local Azure sees one change that moves the users, and then one of the tags; nobody is answered with an error."""
    workspace, name = Workspace(Client(resolve_workspace(None))), NAMES[0]
    owner = Owner(name="ann@laptop", flow_run="run-1")
    rollout = begin(workspace, project.load(configs[0]), owner, gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(workspace, rollout)
    shift_traffic(workspace, rollout, 100, None)
    end(workspace, rollout, keep_s=3600)
    path = f"onlineEndpoints/{name}"
    with (
        Users(arm, name, {"x": 1}) as users,
        azure.chaos.delay(0, method="PUT", path=path, times=None) as changes,
        azure.chaos.delay(0, path=f"{path}/deployments/*", method="PATCH", times=None) as scaled,
    ):
        users.some_more()
        users.seen.clear()
        roll_back(workspace, name, wait=lambda *_: users.some_more())
        assert (changes.hits, scaled.hits) == (2, 0)
        users.seen.clear()
        users.some_more()

    assert users.errors == []
    assert set(users.seen) == {(200, "blue")}
    shown = arm.get(path)
    assert shown["properties"]["traffic"] == {"blue": 100}
    assert Record.from_tags(shown["tags"]) is None
