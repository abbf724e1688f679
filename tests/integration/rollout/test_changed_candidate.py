"""A candidate that somebody else changes while its approval waits is tested anew and asked about again."""

import asyncio
import re

import pyotp
import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun

from flows.approval import approve
from saferollout.approvals import totp
from saferollout.approvals.attestation import open_sealed
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Changed
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout import drift
from saferollout.rollout.record import now
from saferollout.rollout.rollout import Rollout as Rollout_
from tasks.anew import begin_anew
from tasks.support.attestation import read_attestation
from tasks.support.history import read_history
from tests.integration.rollout.test_answers import PEM, SECRETS, die, killed, worker
from tests.support.answers import Rollout, asked, events_of
from tests.support.asking import again, current, deployed, go_on, question_of, reply
from tests.support.run_steps import record_of
from tests.support.signing import make_keys
from tests.support.twin import capacity, deploy, look, traffic_of

__all__ = ["worker"]  # a fixture of all tests here
# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"), pytest.mark.xdist_group("server")]


class Anew(Rollout):
    """It begins anew, as the flow does, where somebody else has changed the candidate; each smoke test is another."""

    kept: dict[int, Evidence]

    def smoke_test(self) -> None:
        """Test the candidate as it is now, once for each change; what was found is kept for the run."""
        self.kept = getattr(self, "kept", {})
        if (changes := self.rollout.changes) not in self.kept:
            green = drift.require_unchanged(self.azure, self.rollout).deployments["green"]
            finding = {"summary": f"{green.model} answered all", "made_of": Composition.of(green)}
            self.kept[changes] = self.evidence[0].model_copy(update=finding)
        self.evidence = [self.kept[changes]]
        self.rollout = self.rollout.tested(self.evidence)

    async def decide(self) -> Decision:
        """Ask for 10% until what was approved is what is there; a process that begins again knows it by the record."""
        record = record_of(self.memory)
        assert record is not None
        self.rollout = Rollout_.of(self.rollout.project, record)
        while True:
            self.smoke_test()
            try:
                return await super().decide()
            except Changed as change:
                self.rollout = await begin_anew(self.rollout, str(change))

    def change(self, version: int) -> None:
        """Give the candidate another model in place, as somebody else might."""
        there = look(self.memory).deployments["green"].resource
        deploy(self.memory, "green", version, capacity(there), there["tags"])


@pytest.mark.parametrize("is_answered", [False, True])
async def test_an_approval_does_not_count_for_another_candidate(
    monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    """Changed behind its back after the question, or after the answer: it is tested again, and asked about again.

    What was answered is refused, and says why; so is it when the next question is about what it was, too. The question
    says old → new, and whose approval it gets is bound to the new one.
    """
    ann, bob, cy = (f"{name} {is_answered}" for name in SECRETS)  # whose codes were used nowhere else
    secrets = {name: totp.new_secret() for name in (ann, bob, cy)}
    for name, secret in secrets.items():
        monkeypatch.setenv(totp.variable_of(name), secret)
    with current(Anew(approvals={"verify": "totp"})) as case:
        run = await asked(case)
        first = await question_of(run)
        assert "model:2 answered all" in first.text
        for version, name in ((3, ann), (4, bob)):
            if is_answered:
                await reply(run, name, pyotp.TOTP(secrets[name]).at(now()))
                case.change(version)
            else:
                case.change(version)
                await reply(run, name, pyotp.TOTP(secrets[name]).at(now()))
            assert (await go_on(run)).name == "Suspended"
            assert traffic_of(look(case.memory)) == {"blue": 100}
            question = await question_of(run)
            assert question.evidence != first.evidence
            assert f"model:{version} answered all" in question.text
            assert f"Somebody else changed green: model model:{version - 1} → model:{version}, " in question.text
        assert await events_of(case, make_keys(PEM)) == {"refusal": 2, "change": 2}
        assert await codes_of(run) == []

        await reply(run, cy, pyotp.TOTP(secrets[cy]).at(now()))
        assert (await go_on(run)).name == "Completed"

        (decision,) = case.decisions
        green = case.azure.get_endpoint("shop").deployments["green"]
        assert (decision.approver, decision.deployment, green.model) == (cy, green.digest, "model:4")
        assert traffic_of(look(case.memory)) == {"blue": 90, "green": 10}
        entries, _ = await read_history("shop")
        (refusal, *_, counts, _) = [entry.event for entry in entries if entry.event.rollout == case.rollout.id]
        assert (counts.decision and counts.decision.deployment) == decision.deployment
        assert refusal.decision is not None
        assert refusal.reason.endswith("composition {} → {})".format(*digests_in(refusal.reason)))
        assert digests_in(refusal.reason)[0] == refusal.decision.deployment != decision.deployment
        text = await read_attestation(run.id)
        assert text is not None
        statement, _ = open_sealed(text, make_keys(PEM))
        assert [change["reason"] for change in statement["predicate"]["changes"]] == [
            entry.event.reason for entry in entries if entry.event.kind == "change"
        ][-2:]
        assert statement["predicate"]["candidate"]["digest"] == green.digest


def digests_in(text: str) -> list[str]:
    """What was and what is, in the words of a change."""
    return re.findall(r"[0-9a-f]{12}", text)


async def codes_of(run: FlowRun) -> list[str]:
    """The codes that Prefect still keeps among the run's inputs."""
    async with get_client() as client:
        kept = await client.filter_flow_run_input(run.id, "", limit=200, exclude_keys=set())
    return [stored.key for stored in kept if stored.key.endswith("-response") and "code" in stored.decoded_value]


async def test_a_change_that_nobody_answers_is_asked_about_anew() -> None:
    """The run is resumed without an answer, as after a crash: it does not ask again about what is gone."""
    with current(Anew()) as case:
        run = await asked(case)
        first = await question_of(run)
        case.change(3)
        await again(run)
        assert (await go_on(run)).name == "Suspended"
        assert (await question_of(run)).evidence != first.evidence
        assert await events_of(case, make_keys(PEM)) == {"change": 1}
        case.change(2)
        await again(run)
        assert (await go_on(run)).name == "Suspended"
        assert (await question_of(run)).evidence != first.evidence


async def test_where_drift_is_rolled_back_nobody_is_asked_again() -> None:
    """The answer is refused, the history says why, and the run fails with what leads to a rollback."""
    with current(Anew(on_drift="rollback")) as case:
        run = await asked(case)
        case.change(3)
        await reply(run, "Ann")
        state = await go_on(run)

        assert (state.name, "green is no longer what was tested" in str(state.message)) == ("Failed", True)
        assert await events_of(case, make_keys(PEM)) == {"refusal": 1, "change": 1}
        assert traffic_of(look(case.memory)) == {"blue": 100}


async def test_a_rejection_of_what_it_was_counts() -> None:
    """Whoever said no to the rollout need not say so again."""
    with current(Anew()) as case:
        run = await asked(case)
        case.change(3)
        await reply(run, "Ann", decision="reject")
        state = await go_on(run)

        assert (state.name, "Ann rejected 10%: ok" in str(state.message)) == ("Failed", True)
        assert await events_of(case, make_keys(PEM)) == {"decision": 1}


@pytest.mark.parametrize("where", ["answers.forget_code", "look_for_change"])
def test_no_death_lets_an_approval_of_what_it_was_pass(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Killed before it has looked, or after the answer was refused: the next worker tests and asks again."""
    with current(Anew(approvals={"verify": "totp"})) as case:
        run = asyncio.run(asked(case))
        asyncio.run(reply(run, "Ann", pyotp.TOTP(SECRETS["Ann"]).at(now())))
        case.change(3)
        killed(run, lambda: monkeypatch.setattr(f"tasks.approval.{where}", die))
        asyncio.run(again(run))
        assert asyncio.run(go_on(run)).name == "Suspended"
        assert "model:3 answered all" in asyncio.run(question_of(run)).text
        assert asyncio.run(events_of(case, make_keys(PEM))) == {"refusal": 1, "change": 1}
        assert traffic_of(look(case.memory)) == {"blue": 100}


class AsConfigured(Rollout):
    """Its first stage asks nobody where the judge found the candidate healthy."""

    async def decide(self) -> Decision:
        """Do as the flow does."""
        healthy = self.evidence[0].model_copy(update={"gate": "judge", "verdict": GateVerdict.HEALTHY})
        decision = await approve(self.rollout, self.rollout.project.config.stages[0], [healthy])
        assert decision is not None
        self.decisions.append(decision)
        return decision


@pytest.mark.parametrize("changes", [0, 1])
async def test_no_config_approves_what_somebody_else_made_of_the_candidate(changes: int) -> None:
    """A stage that approves by itself asks a person once the candidate has been changed."""
    with current(AsConfigured(stages=[{"traffic": 10, "auto": "healthy"}, {"traffic": 100}])) as case:
        case.rollout = case.rollout.model_copy(update={"changes": changes})
        run = await deployed()
        assert (await go_on(run)).name == ("Suspended" if changes else "Completed")
