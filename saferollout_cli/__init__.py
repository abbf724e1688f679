"""The command line."""

import contextlib
import dataclasses
import gc
import json
import os
import sys
import threading
from typing import NoReturn

from saferollout.domain.errors import ConfigError, Refused, SaferolloutError
from saferollout_cli import environment, terminal

SEND_S = 20.0
"""How long Prefect may go on sending what its server has not taken, in seconds."""

_UNREACHABLE = ("Failed to reach API", "ephemeral Prefect API server")
"""How Prefect says that its server, or the temporary one that it starts, does not answer."""


def main() -> None:
    """Run a command; every failure on purpose becomes one clear message and its exit code."""
    gc.set_threshold(50_000, 20, 50)  # by default, looking for garbage takes as long as the imports
    try:
        run()
    except SystemExit as end:
        _end_in_time(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _end_in_time(code: int) -> None:
    """Let what Prefect has not sent to its server yet keep the process for a while, not for ever."""
    gc.freeze()  # what there is now is left to the end of the process, not collected before it
    for stream in (terminal.out(), terminal.err()):
        with contextlib.suppress(OSError):
            stream.flush()
    timer = threading.Timer(SEND_S, os._exit, (code,))
    timer.daemon = True
    timer.start()


def run() -> None:
    """Run the command of `sys.argv`; `SystemExit` has its exit code."""
    environment.prepare()
    from saferollout_cli.commands import app

    try:
        app()
    except ConfigError as error:
        problems = [dataclasses.asdict(problem) for problem in error.problems]
        _fail("invalid", error.exit_code, *map(str, error.problems), problems=problems)
    except SaferolloutError as error:
        _fail("refused" if isinstance(error, Refused) else "failed", error.exit_code, str(error))
    except Exception as error:
        if (code := _code_of_prefect(error)) is None:
            terminal.restore()  # for the traceback
            raise
        _fail("refused" if code == 1 else "failed", code, f"Prefect's server: {_what_prefect_said(error)}")


def _fail(outcome: str, code: int, *reasons: str, **details: object) -> NoReturn:
    """Say why, as one JSON object too where that was asked for, and end."""
    for reason in reasons:
        terminal.say(f"error: {reason}")
    if "--json" in sys.argv[1:]:
        terminal.print_result({"outcome": outcome, "reason": "\n".join(reasons)} | details, "", as_json=True)
    sys.exit(code)


def _what_prefect_said(error: Exception) -> str:
    from saferollout_cli.environment import server_url

    if _is_not_prefects(error):
        return f"what answers at {server_url()} is not Prefect's API; does PREFECT_API_URL end with /api?"
    return " ".join(str(error).split()) or type(error).__name__


def _is_not_prefects(error: Exception) -> bool:
    """Whether something else answers where Prefect's server should: with a page, or as if it did not know the path."""
    import httpx
    from prefect.exceptions import ObjectNotFound

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (404, 405)
    return isinstance(error, json.JSONDecodeError | ObjectNotFound)


def _code_of_prefect(error: Exception) -> int | None:
    """The exit code for what Prefect's client raises: 1 when the server refuses, 3 when it fails or is not there.

    2 where what answers is not Prefect.
    """
    import httpx

    if _is_not_prefects(error):
        return 2
    if isinstance(error, httpx.HTTPStatusError):
        return 1 if error.response.is_client_error else 3
    unreachable = isinstance(error, RuntimeError) and any(words in str(error) for words in _UNREACHABLE)
    return 3 if unreachable or isinstance(error, httpx.HTTPError) else None
