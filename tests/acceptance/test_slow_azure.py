"""Rollouts on an Azure that takes its time: a traffic change lasts seconds, and shows the old traffic until its end."""

import json
from pathlib import Path
from subprocess import Popen

import pytest
import yaml

from localazure.core.certificates import trusting_only
from localazure.testing import LocalAzure
from saferollout.azure.resources import endpoint_state
from saferollout.domain.endpoint import EndpointState
from saferollout.rollout.record import Phase, Record
from tests.support.localazure.arm import Arm
from tests.support.stack import DIABETES, Endpoint, Stack, started, wait_for

OLD = {"blue": 100}


def make_endpoint(stack: Stack, name: str, directory: Path) -> Endpoint:
    """The files of an endpoint that is to be bootstrapped."""
    directory.mkdir()
    content = yaml.safe_load((DIABETES / "endpoint.yml").read_text()) | {"name": name}
    (directory / "endpoint.yml").write_text(yaml.safe_dump(content))
    return Endpoint(stack, name, directory)


def config_of(endpoint: Endpoint, candidate: str) -> str:
    """A rollout of the candidate; nothing is scaled or deleted, which takes long on this Azure."""
    stages = endpoint.stages(approval=False)
    return str(endpoint.config(candidate, stages=stages, live={}, retire={"keep_s": 3600}))


def bootstrap(endpoint: Endpoint, config: str) -> list[str]:
    """The command that creates the endpoint with model v1."""
    first = endpoint.deployment("blue-deployment.yml")
    return endpoint.stack.command("bootstrap", config, "--deployment", str(first))


def said_by(command: Popen[str], code: int) -> str:
    """What a command has written, once it has ended with this code."""
    output, errors = command.communicate(timeout=300)
    assert command.returncode == code, output + errors
    return output


def is_at_work(stack: Stack, config: str, *, instead_of: str) -> bool | None:
    """Whether a run of the config, but not this other one, is taking its baseline."""
    running = {"state": {"type": {"any_": ["RUNNING"]}}}
    runs = stack.api("POST", "/flow_runs/filter", json={"flow_runs": running})
    own = [run["id"] for run in runs if run["parameters"].get("config") == config and run["id"] != instead_of]
    body = {"flow_runs": {"id": {"any_": own}}, "task_runs": running | {"name": {"any_": ["baseline"]}}}
    return bool(own and stack.api("POST", "/task_runs/filter", json=body)) or None


@pytest.mark.timeout(900)
def test_rollouts_on_an_azure_that_takes_its_time(stack: Stack, tmp_path: Path) -> None:
    """With durations as on Azure, 20 times as fast, a harmful candidate goes back and a killed run is finished.

    To save minutes, one local Azure has both endpoints, and both rollouts go on at once. That of the good candidate is
    killed while its first change of traffic is under way, and is resumed before that has ended: Azure still shows the
    old traffic.
    """
    with LocalAzure(timing="azure", time_scale=20) as azure, Arm(azure.environ) as arm:
        slow = Stack(tmp_path, stack.env | trusting_only(azure.environ))

        def state(endpoint: Endpoint) -> EndpointState:
            return endpoint_state(arm.get(f"onlineEndpoints/{endpoint.name}"))

        def record(endpoint: Endpoint) -> Record | None:
            return Record.from_tags(state(endpoint).tags)

        bad, good = (make_endpoint(slow, name, tmp_path / name) for name in ("unhurried-bad", "unhurried-good"))
        config_of_bad, config = config_of(bad, "candidates/errors.yml"), config_of(good, "green-deployment.yml")
        with (
            started(bootstrap(bad, config_of_bad), slow.env) as one,
            started(bootstrap(good, config), slow.env) as other,
        ):
            said_by(one, 0)
            said_by(other, 0)

        def run(of: str) -> list[str]:
            return slow.command("run", of, "--approve", "auto", "--json")

        with (
            started(run(config_of_bad), slow.env) as harmful,
            azure.chaos.hang(method="PUT", path=f"onlineEndpoints/{good.name}", skip=1) as shift,  # after the record
        ):
            with started(run(config), slow.env):  # and killed
                wait_for("the first shift", lambda: shift.hits or None)
                killed = record(good)
                assert killed is not None
                assert (state(good).provisioning_state, state(good).traffic, killed.share) == ("Updating", OLD, 10)
            with started(run(config), slow.env) as resumed:
                wait_for("the resumed run", lambda: is_at_work(slow, config, instead_of=killed.owner.flow_run))
                assert (state(good).provisioning_state, state(good).traffic) == ("Updating", OLD)
                shift.remove()
                wait_for("10%", lambda: state(good).traffic == {"blue": 90, "green": 10} or None)
                promoted = json.loads(said_by(resumed, 0))
            rolled_back = json.loads(said_by(harmful, 1))

        assert promoted["outcome"] == "promoted"
        assert state(good).traffic == {"green": 100}
        kept = record(good)
        assert kept is not None
        assert (kept.phase, kept.rollout) == (Phase.KEEPING, killed.rollout)
        assert (rolled_back["outcome"], rolled_back["verdicts"][-1]["verdict"]) == ("rolled_back", "harmful")
        assert rolled_back["verdicts"][-1]["gate"] == "judge at 10%"
        assert (state(bad).traffic, record(bad)) == (OLD, None)
