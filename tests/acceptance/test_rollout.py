"""The deployed rollout: a real server and worker, suspended at its approvals, answered on the command line."""

import json
import os
import re
import shlex
import signal
from contextlib import closing
from typing import Any

from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings

from localazure.chaos import Chaos
from saferollout.rollout.owner import user_name
from saferollout.rollout.record import PREFIX, TAG_HELD, Record, now
from tests.acceptance.test_crash import process_of
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


def record_of(endpoint: Endpoint) -> Record:
    """The record that the endpoint has now."""
    record = Record.from_tags(endpoint.state().tags)
    assert record is not None
    return record


def forge_decisions(endpoint: Endpoint, run: str) -> None:
    """Write decisions into tags of the record as anybody can who may change the endpoint."""
    of_eve = {"approver": "Eve", "at": "2026-01-01T00:00:00Z", "evidence": "0" * 12}
    of_run = {"rollout": record_of(endpoint).rollout, "flow_run": run}
    forged = {
        f"{PREFIX}approval-10": json.dumps(of_eve | {"stage": 10, "decision": "approve"}),
        f"{PREFIX}approval-100": json.dumps(of_eve | {"stage": 100, "decision": "reject"} | of_run),
    }
    endpoint.workspace().update_endpoint(endpoint.name, tags=lambda there: there | forged)


def decided(stack: Stack, endpoint: Endpoint) -> list[Any]:
    """What the history has of the endpoint, each entry of which holds: decisions, or why a rollout ended."""
    listed = json.loads(stack.cli("history", endpoint.name, "--verify", "--json"))
    assert listed["outcome"] == "verified"
    events = [entry["event"] for entry in listed["entries"]]
    return [
        (one["stage"], one["decision"], one["approver"]) if (one := event.get("decision")) else event["reason"]
        for event in events
    ]


def statement_of(stack: Stack, run: str) -> dict[str, Any]:
    """What the signed statement says that anybody can check; changed, it does not hold."""
    file = stack.directory / f"{run}.json"
    stack.cli("attest", run, "--output", str(file))
    said: dict[str, Any] = json.loads(stack.cli("verify", str(file), "--json"))["statement"]["predicate"]
    file.write_text(file.read_text().replace('"payload": "ey', '"payload": "fy'))
    assert "does not hold" in stack.cli("verify", str(file), code=1)
    return said


def test_candidate_is_promoted_without_a_failed_request(stack: Stack, endpoint: Endpoint) -> None:
    """Approved twice, the candidate has all traffic, the old deployment is gone and no user saw a failure.

    Killed while it judges at 10%, the run goes on where it was without anybody's help or another approval.

    Whoever wants to know is told of each question, each answer and the end once, though the run begins four times.

    Tags that hold an approval, or a rejection, spare nobody the question: no worker has signed them. What was decided
    is in the history, whose entries hold, and in a signed statement that anybody can check.
    """
    stages = endpoint.stages()
    stages[0]["judge"] = stages[0]["judge"] | {"min_duration_s": 8}
    config = endpoint.config(stages=stages, notify={"urls": [f"secret:{endpoint.name}"]})
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
        forge_decisions(endpoint, run)
        approved = as_written(approve, {"<flow run>": run, "<endpoint>": endpoint.name})
        stack.cli(*approved, "--by", "Ada")
        wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)
        os.kill(process_of(run), signal.SIGKILL)

        wait_for("the next question", lambda: stack.run(run)["state_name"] == "Suspended" or None)
        assert endpoint.state().traffic == {"blue": 90, "green": 10}
        question = stack.question(run)
        assert f"Give green 100% of the traffic of {endpoint.name}?" in question
        assert "judge at 10%: healthy" in question
        assert "The tag saferollout.approval-100 claims an approval that no worker has signed for this" in question
        assert record_of(endpoint).approvals[10].approver == "Ada"
        wait_for(
            "a warning in the log", lambda: any("approval-100 claims" in line for line in stack.warnings(run)) or None
        )
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
    assert artifacts[f"{endpoint.name}-report"]["data"].count("| approve | Ada |") == 2
    assert {f"{endpoint.name}-smoke-test", f"{endpoint.name}-judge-10", f"{endpoint.name}-judge-100"} <= set(artifacts)
    wait_for("both shifts in the logs", lambda: seen_as_set(stack, run) >= 2 or None)
    assert decided(stack, endpoint) == [
        (10, "approve", "Ada"),
        (100, "approve", "Ada"),
        "promoted: green passed every gate and has all traffic",
    ]
    said = statement_of(stack, run)
    assert (said["outcome"], said["traffic"]["after"]) == ("promoted", {"green": 100})
    assert [(one["approver"], one["decision"]) for one in said["decisions"]] == [("Ada", "approve"), ("Ada", "approve")]


def test_rejection_goes_back_to_the_baseline(stack: Stack, endpoint: Endpoint) -> None:
    """Rejected, the run fails with who and why, and the endpoint is as before, the candidate kept at 0%.

    While it waits for the answer, a second rollout is refused with who began the first one and which run that is, or
    waits. The revision that was rejected is held then, from whoever waited and from any other run, unless a person says
    to roll it out again; the report says who.
    """
    config = endpoint.config(stages=endpoint.stages()[1:])
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
        f"Bo rejected 100%: not on a Friday; `saferollout release {endpoint.name} --comment WHY` ends that, "
        "and `--again` rolls it out all the same"
    )
    assert "no schedule or event rolls it out again" in stack.artifacts(run)[f"{endpoint.name}-report"]["data"]
    assert shown["state"]["message"] == "rolled back: Bo rejected 100%: not on a Friday"
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1
    assert set(state.deployments) == {"blue", "green"}
    assert [tag for tag in state.tags if tag.startswith(PREFIX)] == [TAG_HELD]
    why = "rolled_back: Bo rejected 100%: not on a Friday"
    assert decided(stack, endpoint) == [(100, "reject", "Bo"), why]
    told = statement_of(stack, run)
    assert (told["outcome"], told["traffic"]["after"]) == ("rolled_back", {"blue": 100})
    assert [(one["approver"], one["decision"]) for one in told["decisions"]] == [("Bo", "reject")]

    again = json.loads(stack.cli("run", str(config), "--approve", "auto", "--again", "--json"))

    assert again["outcome"] == "promoted"
    assert f"{user_name()} started it again, although" in again["hold"]
    assert not [tag for tag in endpoint.state().tags if tag.startswith(PREFIX)]
    assert "holds no revision" in stack.cli("release", endpoint.name, "--comment", "on a Monday", code=1)


def test_bad_candidates_are_rolled_back_before_any_user_is_on_them(stack: Stack, endpoint: Endpoint) -> None:
    """Each kind ends where it began: all traffic on the live deployment, its instances as before.

    The next one takes the place of what is left of it.
    """
    for candidate, reason in (
        ("broken", "deployment green did not come up"),
        ("slow", "smoke test failed: latency p95"),
        ("wrong", "smoke test failed: wrong answers"),
    ):
        config = endpoint.config(f"candidates/{candidate}.yml", stages=endpoint.stages(approval=False))
        output = stack.cli("run", str(config), "--json", code=1)
        result = json.loads(next(line for line in output.splitlines() if line.startswith("{")))

        assert result["outcome"] == "rolled_back"
        assert reason in result["reason"]
        steps = {step["name"] for step in result["steps"]}
        assert "create green" in steps
        assert not [name for name in steps if name.startswith("shift")]
        as_before(endpoint, is_held=candidate != "broken")  # what Azure could not bring up may be tried again
        if candidate != "broken":
            assert reason in stack.cli("release", endpoint.name, "--comment", "mended elsewhere")


def test_harmful_candidate_is_rolled_back(stack: Stack, endpoint: Endpoint) -> None:
    """A candidate that crashes for some users goes back from 10%, and the log says who serves users each time."""
    stages = endpoint.stages(approval=False)
    run = endpoint.submit(endpoint.config("candidates/crash.yml", stages=stages))

    shown = stack.until(run, "Failed")

    assert shown["state"]["message"].startswith("rolled back: ")
    assert "harmful" in shown["state"]["message"]
    wait_for("who serves users in the logs", lambda: seen_as_set(stack, run) == 2 or None)
    as_before(endpoint, is_held=True)
    assert "harmful" in stack.cli("release", endpoint.name, "--comment", "mended elsewhere")


def as_before(endpoint: Endpoint, *, is_held: bool) -> None:
    """Check that the endpoint is as before a rollout, but for the hold on its revision."""
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1
    assert [tag for tag in state.tags if tag.startswith(PREFIX)] == [TAG_HELD] * is_held
