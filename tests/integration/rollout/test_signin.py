"""`saferollout approve` where approvers sign in: with another device, at a certified provider, through the page."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from saferollout.approvals.keys import KEY, PAGE_KEY
from saferollout.approvals.signed_answer import PAGE_URL, digest_of
from saferollout.domain.errors import AzureFailed, ConfigError, Refused
from saferollout_cli.approvals import Reply, answer
from saferollout_cli.page.routes import make_app
from saferollout_cli.page.settings import DEVICE_CLIENT_ID, Settings
from saferollout_cli.signin import Desk
from tests.support.asking import Case, current, deployed, dump, go_on, question_of
from tests.support.prefect import Server
from tests.support.provider import SECRET, Site, enter_code, site
from tests.support.signing import make_pem, public_pem
from tests.support.stack import started

# Prefect's engine leaves the connection open by which it asks where results are kept
pytestmark = [pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"), pytest.mark.xdist_group("server")]
PEM = make_pem()
RULES = {"verify": "oidc", "approvers": ["group:ml-approvers"]}
SHOWN = re.compile(r"sign in at (\S+) and enter the code (\S+)")


@pytest.fixture(scope="module")
def approvals(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of the server."""
    with site(tmp_path_factory.mktemp("site"), server.env, PEM) as made:
        yield made


@pytest.fixture(autouse=True)
def worker(approvals: Site, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has what a worker has, and knows where the page is."""
    monkeypatch.setenv(KEY, make_pem())
    monkeypatch.setenv(PAGE_KEY, public_pem(PEM))
    monkeypatch.setenv(PAGE_URL, approvals.url)
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        yield


async def asked() -> FlowRun:
    """A suspended run that asks."""
    run = await deployed()
    assert (await go_on(run)).name == "Suspended"
    return run


def check_kept(approvals: Site, server: Server, results: Path, *said: str) -> None:
    """Check that no token, code, key or secret is in what is kept, logged or said."""
    files = [path.read_text(errors="replace") for path in results.rglob("*") if path.is_file()]
    kept = "\n".join([dump(server.database), approvals.log.read_text(), *said, *files])
    tokens = approvals.issued.read_text().split()
    assert len(tokens) == 3  # device code, access token, ID token
    for secret in (*tokens, SECRET, PEM.splitlines()[1]):
        assert secret not in kept


async def test_an_approver_signs_in_with_another_device(approvals: Site, server: Server, tmp_path: Path) -> None:
    """The command shows where, asks at the provider's pace, and the page signs; nothing secret is kept or shown."""
    with current(Case(approvals=RULES)) as case:
        run = await asked()
        env = server.env | {PAGE_URL: approvals.url}
        said = [sys.executable, "-c", "import saferollout_cli; saferollout_cli.main()", "approve", str(run.id)]
        with started([*said, "--comment", "from a train", "--json"], env) as command:
            assert command.stderr is not None
            assert command.stdout is not None
            lines: list[str] = []
            while not (shown := SHOWN.search(lines[-1] if lines else "")):
                lines.append(await asyncio.to_thread(command.stderr.readline))
                assert lines[-1], "".join(lines)
            # it is told to slow down before anybody has signed in
            await asyncio.to_thread(enter_code, shown[1], shown[2], "ada")
            output, errors = await asyncio.to_thread(command.communicate, timeout=120)
        assert command.returncode == 0, errors
        assert json.loads(output)["approver"] == "ada@example.org"
        assert (await go_on(run)).name == "Completed"

    (decision,) = case.decisions
    assert (decision.approver, decision.proof, decision.identity, decision.comment) == (
        "ada@example.org",
        "oidc",
        f"{approvals.issuer} ada",
        "from a train",
    )
    check_kept(approvals, server, tmp_path, *lines, output, errors)


class Person:
    """Somebody at a command line, and in a browser."""

    def __init__(self, run: FlowRun, login: str) -> None:
        self.run, self.login = run, login
        self.codes: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.desk = Desk(self._see)
        said = Reply(decision="approve", approver="somebody")
        self.answering = asyncio.create_task(answer(run.id, said, give=self.desk.give))

    def _see(self, line: str) -> None:
        if shown := SHOWN.search(line):
            self._loop.call_soon_threadsafe(self.codes.put_nowait, (shown[1], shown[2]))

    async def sign_in(self, *, is_refused: bool = False) -> None:
        """Enter the code in a browser."""
        address, code = await asyncio.wait_for(self.codes.get(), 60)
        await asyncio.to_thread(enter_code, address, code, self.login, is_refused=is_refused)

    async def hears(self) -> str:
        """Why the answer did not count."""
        with pytest.raises(Refused) as refused:
            await asyncio.wait_for(self.answering, 120)
        return str(refused.value)


async def live(approvals: Site, seconds: int) -> None:
    """Let codes of other devices live so long from now on."""
    async with httpx.AsyncClient() as client:
        (await client.get(f"{approvals.issuer}/lives/{seconds}")).raise_for_status()


async def test_what_no_approver_has_signed_in_for_is_not_answered(approvals: Site) -> None:
    """Refused in the browser, by somebody else, too late, or to what is no longer asked: nothing is decided."""
    with current(Case(approvals=RULES)) as case:
        run = await asked()
        people = {login: Person(run, login) for login in ("ada", "mallory", "bob", "eve")}
        await people["ada"].sign_in(is_refused=True)
        for login in ("mallory", "bob", "eve"):
            await people[login].sign_in()
        heard = {login: await person.hears() for login, person in people.items()}
        assert "It was refused at the provider; nothing was answered" in heard["ada"]
        assert "You have no right to see this" in heard["mallory"]
        assert "You have no right to answer this" in heard["bob"]
        assert "has not verified your e-mail address" in heard["eve"]

        await live(approvals, 1)
        late = Person(run, "ada")
        assert "time" in await late.hears()
        await live(approvals, 600)

        first, second = Person(run, "ada"), Person(run, "ada")
        await asyncio.gather(first.sign_in(), second.sign_in())
        results = await asyncio.gather(first.answering, second.answering, return_exceptions=True)
        (refused,) = [result for result in results if isinstance(result, BaseException)]
        assert "Already answered by ada@example.org" in str(refused)
        assert (await go_on(run)).name == "Completed"
    assert len(case.decisions) == 1


async def test_only_a_command_line_that_has_read_the_question_begins_a_sign_in(
    approvals: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another site, another text, a page that does not allow it, or whose address is not protected: refused at once."""
    with current(Case(approvals=RULES)):
        run = await asked()
        question = await question_of(run)
        given = {"run": str(run.id), "question": question.response, "evidence_text": digest_of(question.text)}
        wanted = f"{approvals.url}/commands/sign-in"
        async with httpx.AsyncClient(timeout=60) as client:
            for said, headers, status in (
                (given, {"origin": "https://evil.example"}, 415),
                (given | {"evidence_text": digest_of("healthy")}, {}, 409),
                (given | {"run": "x"}, {}, 400),
                ([], {}, 400),
            ):
                assert (await client.post(wanted, json=said, headers=headers)).status_code == status
            assert (await client.post(wanted, data=given)).status_code == 415
            assert (await client.post(f"{approvals.url}/commands/answer", json={"sign_in": "x"})).status_code == 410

        settings = Settings.read({**approvals.env, DEVICE_CLIENT_ID: ""}, approvals.url)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app(settings))) as client:
            off = await client.post(wanted, json=given)
        assert (off.status_code, DEVICE_CLIENT_ID in off.json()["text"]) == (501, True)

        reply = Reply(decision="approve", approver="somebody")
        for address, error, problem in (
            ("", Refused, "answer at the approvals page"),
            ("http://approvals.example.org", ConfigError, "is not protected by TLS"),
            ("http://127.0.0.1:9", AzureFailed, "does not answer as it should"),
        ):
            monkeypatch.setenv(PAGE_URL, address)
            with pytest.raises(error, match=problem):
                await answer(run.id, reply, give=Desk(print).give)
        assert (await go_on(run)).name == "Suspended"
