"""The steps of a flow that runs in this process, a line each for whoever watches; all else that is logged is not."""

import logging

from saferollout_cli.terminal import say

_ENDED = "Finished in state "
_AGAIN = " Retry "
"""How Prefect's log of a task's run says that it has ended, and that it is run again."""
_GOOD = ("Completed", "Cached", "already done")


def report() -> None:
    """Say from now on how each step ends, what is tried again, and every warning."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_tell)  # Prefect takes a handler away when it sets up its logging
    logging.getLogger("saferollout").addHandler(_Warnings(logging.WARNING))


def _tell(record: logging.LogRecord) -> bool:
    """A logging filter that lets every record pass, and says what a person wants to know of it."""
    name, text = getattr(record, "task_run_name", ""), record.getMessage()
    if text.startswith(_ENDED) and name:
        state = text.removeprefix(_ENDED).partition("(")[0]
        say(f"{'✔' if state in _GOOD else '✘'} {name}")
    elif record.levelno == logging.WARNING or _AGAIN in text:
        say(f"{name}: {text}" if name else text)
    return True


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Say the message."""
        say(record.getMessage())
