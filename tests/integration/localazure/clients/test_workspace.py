"""The rollout's own client of Azure: a refused token, another operation under way, and one that never ends."""

import socketserver
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from localazure.chaos import Chaos
from localazure.core import certificates
from localazure.testing import LocalAzure
from saferollout.azure.access import credential, translated
from saferollout.azure.arm import Arm as AzureResources
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.domain.errors import AzureFailed, Busy
from saferollout.gates.sources.azure_metrics import AzureMetrics
from saferollout.gates.sources.counts import Ledger
from saferollout.gates.sources.reader import Reader
from saferollout.gates.sources.windows import Windows
from saferollout.rollout.record import Record, now
from saferollout.rollout.rollback import roll_back
from tasks.support.access import scorer_of
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.workspace import ENDPOINT, NAME, begun, create, delete, hurried, mark, scale

BLUE, GREEN = f"{ENDPOINT}/deployments/blue", f"{ENDPOINT}/deployments/green"
OPERATION = "/**/mfeOperation*/*"
CHANGES: list[tuple[Callable[[Workspace, Path], None], str, str, str]] = [
    (create, "PUT", GREEN, "creation of deployment green"),
    (mark, "PUT", ENDPOINT, "update of endpoint troubled"),
    (scale, "PATCH", BLUE, "scaling of deployment blue"),
    (delete, "DELETE", GREEN, "deletion of deployment green"),
]
"""What changes an existing endpoint, in an order in which it can be done: how, by which request, and its name."""


@pytest.fixture(scope="module")
def endpoint(arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint with two deployments for all tests."""
    arm.endpoint(NAME)
    for name in ("blue", "red"):
        arm.deploy(NAME, name, assets)
    arm.endpoint(NAME, traffic={"blue": 100})
    yield NAME
    arm.run("DELETE", ENDPOINT)


@pytest.fixture
def chaos(azure: LocalAzure, arm: Arm, endpoint: str) -> Iterator[Chaos]:  # noqa: ARG001 - it is there
    """No fault, no expired token and no third deployment is left behind."""
    yield azure.chaos
    azure.chaos.clear()
    arm.http.headers["Authorization"] = f"Bearer {arm.token()}"
    arm.run("DELETE", GREEN)


@pytest.fixture
def workspace() -> Workspace:
    """One that has signed in."""
    found = Workspace(Client(resolve_workspace(None)))
    found.endpoints()
    return found


def test_a_token_that_is_refused_early_is_replaced(chaos: Chaos, workspace: Workspace, project: Path) -> None:
    """By whatever is called next; one that is refused while an operation goes on has nothing begun a second time."""
    for look in (
        lambda: workspace.get_endpoint(NAME),
        workspace.endpoints,
        lambda: workspace.secret(NAME),
        lambda: workspace.resolve({"model": "azureml:scale-model@latest"}),
    ):
        chaos.expire_tokens()
        look()
    for change, method, path, name in CHANGES:
        chaos.expire_tokens()
        with (
            chaos.answer(401, code="ExpiredAuthenticationToken", method="GET", path=OPERATION) as refused,
            chaos.delay(0, method=method, path=path, times=None) as sent,
        ):
            change(workspace, project)
            assert (name, refused.hits, sent.hits) == (name, 1, 1)


def test_refused_for_good(chaos: Chaos, workspace: Workspace) -> None:
    """It ends soon, as a failure of Azure; the same connection works when tokens are accepted again."""
    with chaos.answer(401, code="AuthenticationFailed", path="onlineEndpoints**", times=None) as refused:
        with pytest.raises(AzureFailed, match="could not read endpoint troubled: Azure did not accept") as caught:
            workspace.get_endpoint(NAME)
        assert (caught.value.status, refused.hits) == (401, 3)

    assert workspace.get_endpoint(NAME).name == NAME


@pytest.mark.parametrize("trouble", ["failing", "broken", "refusing", "nobody"])
@pytest.mark.parametrize("credential", ["EnvironmentCredential", "ManagedIdentityCredential"])
def test_who_cannot_sign_in(chaos: Chaos, monkeypatch: pytest.MonkeyPatch, credential: str, trouble: str) -> None:
    """Whoever gives tokens failing, or out of reach, is worth another try; credentials refused, or none, are not."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", credential)
    secret = {"EnvironmentCredential": "AZURE_CLIENT_SECRET", "ManagedIdentityCredential": "IDENTITY_HEADER"}[
        credential
    ]
    where: dict[str, Any] = {"path": "/**/token", "times": None}
    with ExitStack() as stack:
        if trouble == "failing":
            stack.enter_context(chaos.answer(503, **where))
        elif trouble == "broken":
            stack.enter_context(chaos.reset(**where))
        elif trouble == "refusing":
            monkeypatch.setenv(secret, "another")
        else:
            monkeypatch.delenv(secret)
        with pytest.raises(AzureFailed) as caught:
            Workspace(Client(resolve_workspace(None))).get_endpoint(NAME)

    assert (caught.value.status, caught.value.retryable) == (None, trouble in ("failing", "broken"))


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: 30\r\n\r\n<html>Please sign in.</html>..",
        b'Content-Length: 90\r\n\r\n{"name": "local"',
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n90\r\n{",
    ],
    ids=["empty", "page", "cut off", "not packed", "chunk cut off"],
)
def test_an_answer_that_is_not_azures_is_worth_another_try(
    environment: None,  # noqa: ARG001 - it needs the variables
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answer: bytes,
) -> None:
    """A way back does not die of a proxy's page, or of an answer that is cut off."""
    files = certificates.ensure(tmp_path / "certificates")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)

    class Stray(socketserver.StreamRequestHandler):
        """Answers every request with 200."""

        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stray) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        config = resolve_workspace(None)
        identity = credential()
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(files.bundle))
        monkeypatch.setenv("ARM_CLOUD_METADATA_URL", f"https://127.0.0.1:{server.server_address[1]}/metadata")
        with pytest.raises(AzureFailed) as caught, translated("look"):
            AzureResources(identity, config).get()
        server.shutdown()

    assert caught.value.retryable, caught.value


@pytest.mark.parametrize("after", [False, True], ids=["refused", "applied"])
def test_another_operation_is_waited_for(chaos: Chaos, workspace: Workspace, project: Path, after: bool) -> None:
    """409 right after *Succeeded* ends nothing; what took effect in spite of that answer is not done a second time."""
    for change, method, path, name in CHANGES:
        with (
            chaos.delay(0, method=method, path=path, times=None) as sent,
            chaos.answer(409, code="Conflict", method=method, path=path, after=after, times=1 if after else 2) as busy,
        ):
            change(workspace, project)
            assert (name, busy.hits, sent.hits) == ((name, 1, 1) if after else (name, 2, 3))


def test_tags_that_were_written_are_not_changed_from_again(chaos: Chaos, workspace: Workspace) -> None:
    """A record that only its first state may be changed from is not lost when the answer to the change was."""

    def advanced(tags: dict[str, str]) -> dict[str, str]:
        assert tags.get("phase") == "rolling"
        return tags | {"phase": "keeping"}

    workspace.update_endpoint(NAME, tags=lambda tags: tags | {"phase": "rolling"})
    with chaos.answer(409, code="Conflict", method="PUT", path=ENDPOINT, after=True) as lost:
        workspace.update_endpoint(NAME, tags=advanced)
        assert lost.hits == 1

    assert workspace.get_endpoint(NAME).tags["phase"] == "keeping"


def test_busy_without_end(chaos: Chaos, project: Path) -> None:
    """Another operation is waited for as long as one of our own."""
    with (
        chaos.answer(409, code="Conflict", method="PUT", path=ENDPOINT, times=None),
        pytest.raises(Busy, match="could not update endpoint troubled: Conflict"),
    ):
        mark(hurried(), project)


def test_a_conflict_of_an_asset_is_not_waited_for(chaos: Chaos, workspace: Workspace, project: Path) -> None:
    """A model's version that exists with other files will exist tomorrow."""
    with (
        chaos.answer(409, code="Conflict", method="PUT", path="environments/**", times=None),
        pytest.raises(AzureFailed, match="could not create deployment green: Conflict") as caught,
    ):
        create(workspace, project)
    assert not isinstance(caught.value, Busy)


@pytest.mark.parametrize("retry_after_s", [None, 1])
def test_throttled(chaos: Chaos, workspace: Workspace, project: Path, retry_after_s: int | None) -> None:
    """429 is got over by the request itself or, where it may not be sent again, is worth another try of the step."""
    where: dict[str, Any] = {"code": "TooManyRequests", "retry_after_s": retry_after_s}
    with (
        chaos.answer(429, method="PUT", path=ENDPOINT, times=2, **where) as put,
        chaos.answer(429, method="PATCH", path=BLUE, **where) as patch,
    ):
        mark(workspace, project)
        if retry_after_s is None:
            with pytest.raises(AzureFailed, match="could not scale deployment blue: TooManyRequests") as caught:
                scale(workspace, project)
            assert caught.value.retryable
        scale(workspace, project)
        assert (put.hits, patch.hits) == (2, 1)


def test_an_operation_that_never_ends_has_a_deadline(chaos: Chaos, workspace: Workspace, project: Path) -> None:
    """The failure says which one, how long it was waited for, and what to do."""
    for change, method, path, name in CHANGES:
        with chaos.hang(method=method, path=path) as hanging:
            told = rf"the {name} has not ended after 2 s; .*raise workspace\.operation_timeout_s"
            with pytest.raises(AzureFailed, match=told):
                change(hurried(), project)
            assert hanging.hits == 1
        if change is mark:
            workspace.update_endpoint(NAME, tags=dict)  # it ends: what comes next needs the endpoint
        elif change is create:
            create(workspace, project)


def test_an_operation_of_somebody_else_that_never_ends(chaos: Chaos, arm: Arm, project: Path) -> None:
    """It is waited for as long as an own one."""
    with chaos.hang(method="PUT", path=ENDPOINT) as hanging:
        arm.call("PUT", ENDPOINT, arm.get(ENDPOINT))
        hanging.wait()
        with pytest.raises(AzureFailed, match="does not show a final state of endpoint troubled after 2 s; look"):
            mark(hurried(), project)


def test_the_way_back_gets_over_refused_tokens_and_other_operations(chaos: Chaos, workspace: Workspace) -> None:
    """All tokens refused when it begins, one in the middle of an operation, and 409 wherever it changes something.

    Whoever gives new tokens fails for a while, too.
    """
    begun(workspace)
    chaos.expire_tokens()
    faults = [
        chaos.answer(503, path="/**/token", times=4),  # azure-identity's own tries
        chaos.answer(401, code="ExpiredAuthenticationToken", method="GET", path=OPERATION),
        chaos.answer(409, code="Conflict", method="PUT", path=ENDPOINT, times=2),
        chaos.answer(409, code="Conflict", method="PATCH", path=BLUE, times=2),
    ]
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault)

        roll_back(workspace, NAME)

        assert [fault.hits for fault in faults] == [4, 1, 2, 2]
    state = workspace.get_endpoint(NAME)
    assert (state.traffic, state.deployments["blue"].instance_count) == ({"blue": 100}, 1)
    assert Record.from_tags(state.tags) is None


def test_the_way_back_has_a_deadline_too(chaos: Chaos, workspace: Workspace) -> None:
    """The users are back by then; whoever comes later finds the record and can go on."""
    begun(workspace)
    with (
        chaos.hang(method="PATCH", path=BLUE),
        pytest.raises(AzureFailed, match="the scaling of deployment blue has not ended after 2 s"),
    ):
        roll_back(hurried(), NAME)
    assert workspace.get_endpoint(NAME).traffic == {"blue": 100}

    roll_back(workspace, NAME)

    assert workspace.get_endpoint(NAME).deployments["blue"].instance_count == 1


async def test_a_key_that_is_changed_meanwhile_is_fetched_anew(chaos: Chaos) -> None:
    """No request fails for it, and however many meet the old key, the new one is fetched once."""
    async with await scorer_of(resolve_workspace(None), NAME) as scorer:
        assert (await scorer.score({"x": 1}, deployment="red")).ok
        chaos.rotate_key(NAME)
        with chaos.delay(0, method="POST", path=f"{ENDPOINT}/listKeys", times=None) as fetched:
            for _ in range(3):
                assert (await scorer.score({"x": 1}, deployment="red")).ok
            assert fetched.hits == 1
        assert (await scorer.score({"x": 1})).ok


async def test_a_key_that_cannot_be_fetched_is_azures_failure(chaos: Chaos) -> None:
    """No answer of the candidate: Azure's own words say why there is no other key."""
    async with await scorer_of(resolve_workspace(None), NAME) as scorer:
        chaos.rotate_key(NAME)
        with (
            chaos.answer(403, code="AuthorizationFailed", method="POST", path=f"{ENDPOINT}/listKeys"),
            pytest.raises(AzureFailed, match="could not get a key of endpoint troubled: AuthorizationFailed") as caught,
        ):
            await scorer.score({"x": 1}, deployment="red")
    assert (caught.value.status, caught.value.retryable) == (403, False)


def test_a_token_that_the_endpoint_refuses_is_not_given_again(arm: Arm, workspace: Workspace) -> None:
    """Where the endpoint takes Microsoft Entra's tokens, which a credential keeps."""
    arm.endpoint("entra", authMode="AADToken")
    first = workspace.secret("entra")
    assert workspace.secret("entra") == first
    assert workspace.secret("entra", is_refused=True) != first
    arm.run("DELETE", "onlineEndpoints/entra")


async def test_a_source_whose_token_is_refused_is_read_anew(chaos: Chaos, workspace: Workspace) -> None:
    """It signs in anew and goes on reporting: no trouble is left."""
    begun_at = now() - timedelta(minutes=1)
    async with await scorer_of(resolve_workspace(None), NAME) as scorer:
        for _ in range(3):
            assert (await scorer.score({"x": 1}, deployment="red")).ok
    moments = iter([begun_at])

    def clock() -> datetime:
        return next(moments, begun_at + timedelta(hours=1))

    source = AzureMetrics(
        workspace.get_endpoint(NAME), Windows(60, 0, clock=clock), Ledger(), candidate="red", live="blue"
    )
    with chaos.answer(401, code="ExpiredAuthenticationToken", path="/**/metrics:getBatch") as refused:
        async with Reader([source], (0.1,)) as reader:
            while not reader.heard["azure_metrics"]:
                assert not reader.over, reader.troubles
                await reader.next(0.5)
        assert refused.hits == 1
    assert not reader.troubles
