"""Random sequences of operations by both clients, compared with the twin that the rollout is tested on.

LOCALAZURE_STEPS tells how many steps to take; a few by default.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_args

import hypothesis
import pytest
from azure.ai.ml import MLClient
from azure.identity import EnvironmentCredential
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from localazure.chaos import Fault
from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, wait_for
from tests.support.localazure.clients import Client, Management, Ml, outcome
from tests.support.localazure.reference import KUBERNETES, Fate, Reference
from tests.support.localazure.sdk import register, sdk_client

STEPS = int(os.environ.get("LOCALAZURE_STEPS", "20"))
STEPS_PER_SEQUENCE = min(STEPS + 4, 40)
FACTORS = {1: 2, 2: 3}

ENDPOINTS = ["one", "two", KUBERNETES]
endpoint_names = st.sampled_from(ENDPOINTS)
deployment_names = st.sampled_from(["blue", "green", "red"])
client_names = st.sampled_from(["ml", "management"])
counts = st.sampled_from([1, 1, 1, 2, 2, 0, 51])
fates = st.sampled_from([None, None, None, None, "fail-before", "fail-after", "refused-once", "cut-once"])
shares = st.one_of(
    st.builds(lambda name: {name: 100}, deployment_names),
    st.builds(
        lambda names, share: {names[0]: share, names[1]: 100 - share},
        st.lists(deployment_names, min_size=2, max_size=2, unique=True),
        st.integers(1, 99),
    ),
    st.just({}),
    st.dictionaries(deployment_names, st.integers(1, 100), max_size=3),
)
mirrors = st.dictionaries(deployment_names, st.sampled_from([10, 50, 51]), max_size=2)


class World:
    """The local Azure that all sequences happen on."""

    def __init__(self, azure: LocalAzure, arm: Arm, clients: dict[str, Client]) -> None:
        self.azure = azure
        self.arm = arm
        self.chaos = azure.chaos
        self.clients = clients
        self.steps = 0


class Sequences(RuleBasedStateMachine):
    """Each rule does the same to local Azure and to the reference, and compares how it ends."""

    world: World

    @initialize(name=endpoint_names)
    def begin(self, name: str) -> None:
        self.reference = Reference()
        for old in ENDPOINTS:
            self.world.arm.run("DELETE", f"onlineEndpoints/{old}")
        self.agree("ml", None, "set_endpoint", name, {"tags": {"n": "0"}})
        self.agree("management", None, "set_deployment", name, "blue", 1, 1)
        self.agree("ml", None, "set_deployment", name, "green", 2, 1)
        self.agree("management", None, "set_endpoint", name, {"traffic": {"blue": 100}})

    def agree(self, client: str, fate: str | None, action: str, *arguments: Any) -> None:
        """Let the client do it and the reference, and compare how it ends."""
        self.world.steps += 1
        known: Fate = fate if fate in get_args(get_args(Fate)[0]) else None  # type: ignore[assignment]  # `in` narrows nothing
        expected = getattr(self.reference, action)(*arguments, fate=known)
        method = "DELETE" if action.startswith("delete") else "PUT"
        with self.fault(fate, method) as fault:
            seen, error = outcome(lambda: getattr(self.world.clients[client], action)(*arguments))
        what = f"{client} {action}{arguments} with {fate}"
        assert seen == expected, f"{what}: {seen}, not {expected}; {error!r}\n{self.world.azure.log()}"
        if fault and (known or expected == "ok"):  # of what is refused, the client may know it before it asks
            patched = client == "management" and action == "scale"
            assert fault.hits == (expected == "failed" if known else not patched), f"{what}: {fault.hits} hits"

    def fault(self, fate: str | None, method: str) -> AbstractContextManager[Fault | None]:
        """The last two are nothing that a caller notices: clients try again."""
        chaos = self.world.chaos
        match fate:
            case "fail-before" | "fail-after":
                return chaos.fail(after=fate == "fail-after", path="onlineEndpoints/**")
            case "refused-once":
                return chaos.answer(503, method=method, path="onlineEndpoints/**")
            case "cut-once":
                return chaos.reset(method=method, path="onlineEndpoints/**")
        return nullcontext()

    @rule(client=client_names, name=endpoint_names, tag=st.integers(0, 9), fate=fates)
    def tag(self, client: str, name: str, tag: int, fate: str | None) -> None:
        self.agree(client, fate, "set_endpoint", name, {"tags": {"n": str(tag)}})

    @rule(client=client_names, name=endpoint_names, traffic=shares, fate=fates)
    def shift(self, client: str, name: str, traffic: dict[str, int], fate: str | None) -> None:
        self.agree(client, fate, "set_endpoint", name, {"traffic": traffic})

    @rule(client=client_names, name=endpoint_names, mirror=mirrors, fate=fates)
    def mirror(self, client: str, name: str, mirror: dict[str, int], fate: str | None) -> None:
        self.agree(client, fate, "set_endpoint", name, {"mirror": mirror})

    @rule(
        client=client_names,
        endpoint=endpoint_names,
        name=deployment_names,
        model=st.sampled_from([1, 2]),
        count=counts,
        fate=fates,
    )
    def deploy(self, client: str, endpoint: str, name: str, model: int, count: int, fate: str | None) -> None:
        if endpoint != KUBERNETES or count < 3:  # it has no limit there, and our machine has
            self.agree(client, fate, "set_deployment", endpoint, name, model, count)

    @rule(client=client_names, endpoint=endpoint_names, name=deployment_names, count=counts, fate=fates)
    def scale(self, client: str, endpoint: str, name: str, count: int, fate: str | None) -> None:
        if endpoint != KUBERNETES or count < 3:
            self.agree(client, fate, "scale", endpoint, name, count)

    @rule(client=client_names, endpoint=endpoint_names, name=deployment_names, fate=fates)
    def delete_deployment(self, client: str, endpoint: str, name: str, fate: str | None) -> None:
        self.agree(client, fate, "delete_deployment", endpoint, name)

    @rule(client=client_names, name=endpoint_names, fate=fates, really=st.integers(0, 3))
    def delete_endpoint(self, client: str, name: str, fate: str | None, really: int) -> None:
        if really == 0:  # seldom, or there would never be much
            self.agree(client, fate, "delete_endpoint", name)

    @rule(name=endpoint_names, pinned=st.none() | deployment_names, x=st.integers(-5, 5))
    def invoke(self, name: str, pinned: str | None, x: int) -> None:
        self.world.steps += 1
        if self.reference.azure.look(name) is None:
            return
        models = self.reference.answering(name, pinned)
        answer = self.world.arm.score(name, {"x": x}, pinned)
        if models:
            assert answer.status_code == 200, answer.text
            assert answer.json()["y"] in {FACTORS[model] * x for model in models}
        else:
            assert answer.status_code == 404, answer.text

    @rule(name=endpoint_names, traffic=shares)
    def another_writer(self, name: str, traffic: dict[str, int]) -> None:
        self.world.steps += 1
        if self.reference.azure.look(name) and self.reference.set_endpoint(name, {"traffic": traffic}) == "ok":
            self.world.chaos.set_traffic(name, traffic)

    @rule(endpoint=endpoint_names, name=deployment_names)
    def kill_an_instance(self, endpoint: str, name: str) -> None:
        self.world.steps += 1
        if self.reference.answering(endpoint, name):
            self.world.chaos.kill_instance(endpoint, name)
            wait_for(lambda: self.world.arm.score(endpoint, {}, name).status_code, lambda seen: seen == 200)

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        wanted = self.reference.observe()
        client = "ml" if self.world.steps % 2 else "management"
        seen = self.world.clients[client].observe()
        assert seen == wanted, f"{seen}, not {wanted}\n{self.world.azure.log()}"


@pytest.mark.timeout(4 * 3600)
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")  # azure-ai-ml closes none
def test_random_sequences_end_as_the_reference_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create, update, shift, mirror, scale, delete, invoke, with faults; by azure-ai-ml and the management client."""
    with LocalAzure(timing="instant") as azure, Arm(azure.environ) as arm:
        assets = register(azure.environ)
        ml: MLClient = sdk_client(azure.environ, monkeypatch)
        management = MachineLearningServicesMgmtClient(
            EnvironmentCredential(disable_instance_discovery=True),
            azure.environ["AZURE_SUBSCRIPTION_ID"],
            base_url=arm.url,
            credential_scopes=[f"{arm.url}/.default"],
        )
        Sequences.world = World(azure, arm, {"ml": Ml(ml, assets), "management": Management(management, assets)})
        with management:
            if "LOCALAZURE_STEPS" not in os.environ:
                run(1, derandomize=True)
            while Sequences.world.steps < STEPS:  # sequences may be shorter than they might be
                run(-(-(STEPS - Sequences.world.steps) // STEPS_PER_SEQUENCE), derandomize=False)
        print(f"{Sequences.world.steps} steps")


def run(sequences: int, derandomize: bool) -> None:
    """So many sequences; the first disagreement ends them."""
    settings = hypothesis.settings(
        max_examples=sequences,
        stateful_step_count=STEPS_PER_SEQUENCE,
        derandomize=derandomize,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate],  # a sequence takes too long for looking for a shorter one
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(Sequences, settings=settings)
