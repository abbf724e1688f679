"""The command line."""

import contextlib
import gc
import os
import sys
import threading

from saferollout.domain.errors import ConfigError, SaferolloutError

SEND_S = 20.0
"""How long Prefect may go on sending what its server has not taken, in seconds."""

_SERVER_TIMEOUT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
_UNREACHABLE = ("Failed to reach API", "ephemeral Prefect API server")
"""How Prefect says that its server, or the temporary one that it starts, does not answer."""


def main() -> None:
    """Run a command; every failure on purpose becomes one clear message and its exit code."""
    gc.set_threshold(50_000, 20, 50)  # by default, looking for garbage takes as long as the imports
    try:
        _run()
    except SystemExit as end:
        _end_in_time(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _end_in_time(code: int) -> None:
    """Let what Prefect has not sent to its server yet keep the process for a while, not for ever."""
    gc.freeze()  # what there is now is left to the end of the process, not collected before it
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    timer = threading.Timer(SEND_S, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _run() -> None:
    os.environ.setdefault(_SERVER_TIMEOUT, "120")  # 20 s are too few on a machine that is busy
    from saferollout_cli.commands import app

    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SaferolloutError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if (code := _code_of_prefect(error)) is None:
            raise
        print(f"error: Prefect's server: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        sys.exit(code)


def _code_of_prefect(error: Exception) -> int | None:
    """The exit code for what Prefect's client raises: 1 when the server refuses, 3 when it fails or is not there."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return 1 if error.response.is_client_error else 3
    unreachable = isinstance(error, RuntimeError) and any(words in str(error) for words in _UNREACHABLE)
    return 3 if unreachable or isinstance(error, httpx.HTTPError) else None
