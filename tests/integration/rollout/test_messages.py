"""Messages reach real receivers, each once; what does not arrive delays little, and no address is seen anywhere."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message as Mail
from pathlib import Path
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from prefect import flow, get_client
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from saferollout.config.notify import Event, NotifyConfig
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.report.message import Message, question_message
from tasks.support import messages
from tasks.support.messages import send_message
from tests.support.prefect import Server
from tests.support.webhook import SECRET, Webhook

pytestmark = pytest.mark.xdist_group("server")

QUESTION = "Give green 10% of the traffic of shop?"
FOUND = Evidence(gate="smoke test", verdict=GateVerdict.PASSED, summary="50 of 50 answers are right")
ASKED = question_message("shop", "10-0123", QUESTION, [FOUND])


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A server that takes webhooks."""
    with Webhook.started() as server:
        yield server


@flow
async def telling() -> None:
    """What the runs here are runs of."""


@pytest.fixture
async def run(server: Server) -> AsyncIterator[UUID]:
    """A run at a Prefect server."""
    with temporary_settings({PREFECT_API_URL: server.url}):
        async with get_client() as client:
            yield (await client.create_flow_run(telling, state=Running())).id


@pytest.fixture
def notify(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> NotifyConfig:
    """A config that names the webhook."""
    monkeypatch.setenv("TEAM_CHAT", webhook.address)
    return NotifyConfig(urls=("${TEAM_CHAT}",))


async def test_a_message_says_what_to_do_and_comes_once(run: UUID, notify: NotifyConfig, webhook: Webhook) -> None:
    """The question, the verdict, the link and the command arrive once, however many processes send the message."""
    await asyncio.gather(*(send_message(notify, run, ASKED) for _ in range(5)))
    await send_message(notify, run, ASKED)

    (taken,) = webhook.taken
    assert taken["title"] == f"⏳ {QUESTION}"
    assert "smoke test: passed — 50 of 50 answers are right" in taken["message"]
    assert "saferollout approve shop" in taken["message"]
    assert f"/runs/flow-run/{run}" in taken["message"]

    await send_message(notify, run, ASKED.model_copy(update={"key": "10-4567"}))
    assert len(webhook.taken) == 2, "another question is another message"


async def test_only_what_is_wanted_is_sent(run: UUID, notify: NotifyConfig, webhook: Webhook) -> None:
    """No config, no message; nor one about an event that the config leaves out."""
    await send_message(None, run, ASKED)
    await send_message(notify.model_copy(update={"events": (Event.ENDED,)}), run, ASKED)

    assert webhook.taken == []


async def test_a_secret_block_holds_the_address(run: UUID, webhook: Webhook) -> None:
    """The config names the block; a block that is not there fails that address only."""
    await Secret(value=webhook.address).asave("team-chat")

    await send_message(NotifyConfig(urls=("secret:no-such-block", "secret:team-chat")), run, ASKED)

    assert len(webhook.taken) == 1


@contextmanager
def all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Have every library log all it can."""
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "urllib3"):
        yield


@pytest.mark.parametrize(
    ("address", "status", "why"),
    [
        ("{webhook}", 500, "HTTP status 500"),
        ("{webhook}", 200, ""),
        (f"json://127.0.0.1:9/{SECRET}", 200, "could not be delivered"),
        (f"json://user:{SECRET}@no-such-host.invalid/{SECRET}", 200, "could not be delivered"),
        (f"no-such-scheme://{SECRET}", 200, "does not know this kind"),
        (f"https://hooks.slack.com/{SECRET}", 200, "does not know this kind"),
        (f"mailto://{SECRET}:{SECRET}@localhost:9?to=a@b.invalid", 200, "could not be delivered"),
        ("", 200, "is not set"),
    ],
)
async def test_no_address_is_seen(
    run: UUID,
    server: Server,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    address: str,
    status: int,
    why: str,
) -> None:
    """Sent or not: the log names the variable, says why, and neither it nor Prefect's database has the address."""
    monkeypatch.setenv("TEAM_CHAT", address.format(webhook=webhook.address))
    webhook.status = status

    with all_logs(caplog):
        await send_message(NotifyConfig(urls=("${TEAM_CHAT}",)), run, ASKED)

    warnings = [record.getMessage() for record in caplog.records if "not sent" in record.getMessage()]
    assert len(warnings) == (1 if why else 0)
    assert all("notify.urls[0] (${TEAM_CHAT})" in line and why in line for line in warnings)
    assert SECRET not in caplog.text
    assert SECRET not in "".join(str(record.__dict__) for record in caplog.records)
    for file in Path(server.database).parent.glob("prefect.db*"):
        assert SECRET.encode() not in file.read_bytes(), file


async def test_a_receiver_that_hangs_delays_a_step_by_seconds(
    run: UUID, notify: NotifyConfig, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given up, and said so."""
    monkeypatch.setattr(messages, "LIMIT_S", 1.0)
    monkeypatch.setenv("TEAM_CHAT", f"{webhook.address}?rto=60")  # Apprise itself would give up after 4 s
    webhook.released.clear()
    begin = time.monotonic()

    await send_message(notify, run, ASKED)

    assert time.monotonic() - begin < 30
    assert "took longer than 1 s" in caplog.text


async def test_without_prefect_a_message_is_sent(notify: NotifyConfig, webhook: Webhook) -> None:
    """That a rollout was rolled back since Prefect is away must be heard all the same."""
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        await send_message(notify, UUID(int=1), ASKED)
        await send_message(notify, None, ASKED)

    assert len(webhook.taken) == 2


class Mailbox:
    """Takes mail."""

    def __init__(self) -> None:
        self.taken: list[Mail] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # what aiosmtpd calls
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        self.taken.append(message_from_bytes(envelope.content))
        return "250 OK"


async def test_an_e_mail_shows_what_people_wrote_as_text(run: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment of somebody is not taken for HTML, nor for a header or a line of ours."""
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        monkeypatch.setenv("TEAM_MAIL", f"mailto://127.0.0.1:{port}?from=saferollout@example.com&to=team@example.com")
        comment = "<img src=x>\r\nBcc: everybody@example.com"
        said = Message(event=Event.ANSWERED, key="10", title=f"Ann {comment}", lines=(comment,))
        await send_message(NotifyConfig(urls=("${TEAM_MAIL}",)), run, said)
    finally:
        controller.stop()

    (mail,) = mailbox.taken
    assert mail["To"] == "team@example.com"
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"
    content = mail.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().splitlines()[0] == "<img src=x> Bcc: everybody@example.com"
