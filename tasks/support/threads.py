"""Blocking calls in threads of their own that keep no program from ending."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

STEP = "step"
"""The name of what changes Azure, or reads it."""


async def run_in_daemon_thread(call: Callable[[], T], name: str) -> T:
    """`asyncio.to_thread` for what may take very long; the thread's `name` is for `join`."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    done: asyncio.Future[T] = loop.create_future()

    def deliver(set_: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            set_(value)

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits for the answer
            try:
                value = context.run(call)
            except Exception as error:  # noqa: BLE001  # raised where it is awaited
                loop.call_soon_threadsafe(deliver, done.set_exception, error)
            else:
                loop.call_soon_threadsafe(deliver, done.set_result, value)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


def join(name: str) -> None:
    """Wait for the end of the calls that were made under this name, whoever awaits them no more."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()
