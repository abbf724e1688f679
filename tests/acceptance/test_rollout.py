"""The deployed rollout: a real server and worker, suspended at its approvals, answered on the command line."""

import json
import re
import shlex
from contextlib import closing

import pytest
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings

from localazure.chaos import Chaos
from saferollout.rollout.owner import user_name
from saferollout.rollout.record import PREFIX, TAG_HELD, now
from tests.support.documents import commands
from tests.support.stack import Endpoint, Stack, counts_of, started, wait_for
from tests.support.webhook import Webhook

SUBMITTED = re.compile("saferollout (submit|approve) ")


def as_written(command: str, instead: dict[str, str]) -> list[str]:
    """The arguments of a command of the README, with what stands for a name replaced by it."""
    for written, name in instead.items():
        command = command.replace(written, name)
    return shlex.split(command, comments=True)[1:]


def seen_as_set(stack: Stack, run: str) -> int:
    """How often the run has logged that users are served as the traffic says."""
    return sum(line.startswith("users are served as set") for line in stack.logs(run))


def test_candidate_is_promoted_without_a_failed_request(stack: Stack, endpoint: Endpoint) -> None:
    """Approved twice, the candidate has all traffic, the old deployment is gone and no user saw a failure.

    Whoever wants to know is told of each question, each answer and the end once, though the run begins three times.
    """
    config = endpoint.config(notify={"urls": [f"secret:{endpoint.name}"]})
    submit, approve = (
        found.text for found in commands("README.md", "Point it at a real workspace") if SUBMITTED.match(found.text)
    )
    with endpoint.users() as users, Webhook.started(stack.directory / "messages.log") as webhook:
        with temporary_settings({PREFECT_API_URL: stack.env["PREFECT_API_URL"]}):
            Secret(value=webhook.address).save(endpoint.name)
        submitted = as_written(submit, {"configs/rollout.yaml": str(config)})
        run = json.loads(stack.cli(*submitted, "--json"))["flow_run"]

        stack.until(run, "Suspended")
        assert endpoint.state().traffic == {"blue": 100}
        assert endpoint.state().deployments["blue"].instance_count == 2
        question = stack.question(run)
        assert "diabetes:1" in question
        assert "diabetes:2" in question
        assert "smoke test: passed" in question
        config.write_text("stages: none of them\n")  # the run keeps to what it began with
        approved = as_written(approve, {"<flow run>": run, "<endpoint>": endpoint.name})
        stack.cli(*approved, "--by", "Ada")

        stack.until(run, "Scheduled", "Pending", "Running", "Resuming")
        stack.until(run, "Suspended")
        assert endpoint.state().traffic == {"blue": 90, "green": 10}
        assert "judge at 10%: healthy" in stack.question(run)
        path = f"onlineEndpoints/{endpoint.name}/deployments/green"
        with closing(Chaos(stack.env)) as chaos, chaos.hang(method="PATCH", path=path) as scaling:
            stack.cli("approve", run, "--by", "Ada")
            scaling.wait(timeout_s=60)  # it gets live's instances before live's users
            assert endpoint.state().traffic == {"blue": 90, "green": 10}

        shown = stack.until(run, "Completed")
        counts = counts_of(users)
        told = [message["title"] for message in webhook.taken]
    assert told == [
        f"⏳ Give green 10% of the traffic of {endpoint.name}?",
        f"👍 Ada approved 10% of the traffic of {endpoint.name}",
        f"⏳ Give green 100% of the traffic of {endpoint.name}?",
        f"👍 Ada approved 100% of the traffic of {endpoint.name}",
        f"✅ {endpoint.name}: green promoted: green passed every gate and has all traffic",
    ]
    state = endpoint.state()
    assert state.traffic == {"green": 100}
    assert {name: found.instance_count for name, found in state.deployments.items()} == {"green": 2}
    assert not [tag for tag in state.tags if tag.startswith("saferollout.")]
    assert counts["failed"] == 0, counts
    assert counts["by_deployment"]["green"] > 0
    assert shown["name"].startswith(f"rollout {endpoint.name} green ←")
    artifacts = stack.artifacts(run)
    assert "Ada" in artifacts[f"{endpoint.name}-report"]["data"]
    assert {f"{endpoint.name}-smoke-test", f"{endpoint.name}-judge-10", f"{endpoint.name}-judge-100"} <= set(artifacts)
    wait_for("both shifts in the logs", lambda: seen_as_set(stack, run) >= 2 or None)


def test_rejection_goes_back_to_the_baseline(stack: Stack, endpoint: Endpoint) -> None:
    """Rejected before 10%, the run fails with who and why, and the endpoint is as before, the candidate kept at 0%.

    While it waits for the answer, a second rollout is refused with who began the first one and which run that is, or
    waits. The revision that was rejected is held then, from whoever waited and from any other run, unless a person says
    to roll it out again; the report says who.
    """
    config = endpoint.config()
    run = endpoint.submit(config)
    stack.until(run, "Suspended")
    refusal = stack.cli("run", str(config), "--approve", "auto", code=1)
    assert "is unfinished: begun by" in refusal
    assert run in refusal
    with started(stack.command("run", str(config), "--approve", "auto", "--wait"), stack.env) as waiting:
        said = next(line for line in waiting.stderr or [] if "waiting: " in line)
        stack.cli("reject", run, "--by", "Bo", "--comment", "not on a Friday")
        shown = stack.until(run, "Failed")
        _, errors = waiting.communicate(timeout=120)

    assert f"(flow run {run})" in said
    assert waiting.returncode == 1
    assert f"is held since {now():%Y}" in errors
    assert errors.rstrip().endswith(
        f"Bo rejected 10%: not on a Friday; `saferollout release {endpoint.name} --comment WHY` ends that, "
        "and `--again` rolls it out all the same"
    )
    assert "no schedule or event rolls it out again" in stack.artifacts(run)[f"{endpoint.name}-report"]["data"]
    assert shown["state"]["message"] == "rolled back: Bo rejected 10%: not on a Friday"
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1
    assert set(state.deployments) == {"blue", "green"}
    assert [tag for tag in state.tags if tag.startswith(PREFIX)] == [TAG_HELD]

    again = json.loads(stack.cli("run", str(config), "--approve", "auto", "--again", "--json"))

    assert again["outcome"] == "promoted"
    assert f"{user_name()} started it again, although" in again["hold"]
    assert not [tag for tag in endpoint.state().tags if tag.startswith(PREFIX)]
    assert "holds no revision" in stack.cli("release", endpoint.name, "--comment", "on a Monday", code=1)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ("slow", "smoke test failed: latency p95"),
        ("wrong", "smoke test failed: wrong answers"),
        ("broken", "deployment green did not come up"),
        ("errors", "harmful"),
        ("crash", "harmful"),
    ],
)
def test_bad_candidate_is_rolled_back(stack: Stack, endpoint: Endpoint, candidate: str, reason: str) -> None:
    """Each kind of bad candidate ends where it began: all traffic on the live deployment, its instances as before."""
    stages = endpoint.stages(approval=False)
    run = endpoint.submit(endpoint.config(f"candidates/{candidate}.yml", stages=stages))

    shown = stack.until(run, "Failed")

    assert shown["state"]["message"].startswith("rolled back: ")
    assert reason in shown["state"]["message"]
    expected = 2 if reason == "harmful" else 0  # after the shift, and after the rollback
    wait_for("who serves users in the logs", lambda: seen_as_set(stack, run) == expected or None)
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1
    held = [] if candidate == "broken" else [TAG_HELD]  # what Azure could not bring up may be tried again
    assert [tag for tag in state.tags if tag.startswith(PREFIX)] == held
    if held:
        assert reason in stack.cli("release", endpoint.name, "--comment", "mended elsewhere")


def test_rollback_needs_nothing_but_the_tags(
    stack: Stack, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`saferollout rollback` with an empty Prefect home restores the baseline of a rollout that waits at 10%."""
    run = endpoint.submit(endpoint.config(stages=endpoint.stages(approval_at=100)))
    stack.until(run, "Suspended")
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    bare = {name: value for name, value in stack.env.items() if not name.startswith("PREFECT_")}
    home = {"PREFECT_HOME": str(tmp_path_factory.mktemp("bare")), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

    Stack(stack.directory, bare | home).cli("rollback", endpoint.name)

    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1
    stack.cli("approve", run, "--by", "Ada")
    shown = stack.until(run, "Failed")
    assert endpoint.state().traffic == {"blue": 100}
    assert "rolled back" in shown["state"]["message"]
