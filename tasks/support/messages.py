"""Messages to people about a rollout: each once, never in the way of a step, and no address ever shown."""

import asyncio
import contextvars
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect import get_client
from prefect.blocks.system import Secret
from prefect.utilities.urls import url_for

from saferollout.config.notify import NAMED_SECRET, NotifyConfig
from saferollout.report.message import Message
from tasks.support.artifacts import run_logger
from tasks.support.threads import run_in_daemon_thread

LIMIT_S = 10.0
"""How long sending may keep a step, for all addresses at once."""
CLAIM_S = 5.0
THREAD = "message"
_TALKATIVE = ("apprise", "oauthlib", "requests", "requests_oauthlib", "urllib3", "urllib3.connectionpool")
"""The loggers that show addresses, or parts of them, while a message is sent."""
_STATUS = re.compile(r"error[=:]\s*(\d{3})\b")

_log_lines: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("log_lines", default=None)


async def send_message(notify: NotifyConfig | None, run: UUID | None, message: Message) -> None:
    """Send a message about the rollout of a flow run wherever the config says; the only place that sends any.

    Each is sent once, whichever process comes to it, and however often: that it is about to be sent is first put among
    the run's inputs, but for where Prefect is not asked at all, and `run` is None. What cannot be sent is a warning in
    the log, and costs some seconds at most.
    """
    if notify is None or message.event not in notify.events or (run and not await _claim(run, message)):
        return
    link = (url_for("flow-run", obj_id=run) or "") if run else ""
    failures = await asyncio.gather(*(_try(name, message.short_title, message.text(link)) for name in notify.urls))
    for number, (name, failure) in enumerate(zip(notify.urls, failures, strict=True)):
        if failure:
            place = f"notify.urls[{number}] ({name})"
            run_logger().warning("message %r not sent to %s: %s", message.event.value, place, failure)


async def _claim(run: UUID, message: Message) -> bool:
    """Whether the message is still to be sent, and by this process; so it is where Prefect cannot be asked."""
    key = re.sub(r"[^A-Za-z0-9_-]", "-", f"told-{message.event}-{message.key}")
    mine = uuid4().hex
    try:
        async with asyncio.timeout(CLAIM_S), get_client() as client:
            try:
                await client.create_flow_run_input(run, key, mine)
            except httpx.HTTPStatusError as error:
                is_there = error.response.status_code == httpx.codes.CONFLICT  # also where our first reply got lost
                return not is_there or await client.read_flow_run_input(run, key) == mine
    except (httpx.HTTPError, TimeoutError, RuntimeError):  # the last one where no server can be started
        return True
    return True


async def _try(name: str, title: str, text: str) -> str:
    """Send to one address; return why that failed, in words that do not show the address, or nothing."""
    try:
        async with asyncio.timeout(LIMIT_S):
            address = await _address(name)
            if address is None:
                return "the environment variable is not set"
            return await run_in_daemon_thread(lambda: send(address, title, text), THREAD)
    except TimeoutError:
        return f"it took longer than {LIMIT_S:.0f} s"
    except Exception as error:  # noqa: BLE001  # a library's: its text may show the address, its traceback does
        return type(error).__name__


async def _address(name: str) -> str | None:
    """The address that the config names; None where the variable is not set."""
    named = NAMED_SECRET.fullmatch(name)
    if named and named["variable"]:
        return os.environ.get(named["variable"]) or None
    block: Any = await Secret.aload(name.removeprefix("secret:"))
    return str(block.get())


def send(address: str, title: str, text: str) -> str:
    """Send to an Apprise address; return why that failed, in words that do not show the address, or nothing."""
    import apprise  # takes a moment: only for those who use it

    with _muted() as lines:
        target = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
        if not target.add(address):
            return "Apprise does not know this kind of address"
        if target.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT):
            return ""
    status = next((found[1] for line in reversed(lines) if (found := _STATUS.search(line))), "")
    return f"it was refused with HTTP status {status}" if status else "it could not be delivered"


class _Mute(logging.Filter):
    """Keeps what is logged while a message is sent, and lets nothing of it through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what has nothing to do with messages."""
        if (lines := _log_lines.get()) is None:
            return True
        lines.append(record.getMessage())
        return False


_MUTE = _Mute()


@contextmanager
def _muted() -> Iterator[list[str]]:
    """Keep what libraries log of a message in a list instead of the log.

    Yields:
        The list.
    """
    lines: list[str] = []
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_MUTE)  # which it has once only
    token = _log_lines.set(lines)
    try:
        yield lines
    finally:
        _log_lines.reset(token)
