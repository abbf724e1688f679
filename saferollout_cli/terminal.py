"""The terminal: what a user must read goes there; what libraries and child processes write goes to a log."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.markdown import Markdown

from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.text import printable
from saferollout_cli.environment import is_unicode
from tasks.support.broken_pipe import write_nowhere

_kept: dict[int, IO[str]] = {}
"""What standard output and error were, by file descriptor, while they are a log."""


def err() -> IO[str]:
    """Where a user reads."""
    return _kept.get(2, sys.stderr)


def out() -> IO[str]:
    """Where the result goes."""
    return _kept.get(1, sys.stdout)


def divert(command: str) -> bool:
    """Let all that is written to standard output and error from now on go to a log, and say where that is.

    What is native, and what child processes write, too: so the file descriptors themselves lead there. Where no log can
    be written everything is left as it is, but standard output, which is for results alone.
    Returns whether this is new.
    """
    if _kept:
        return False
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        log, path = tempfile.mkstemp(prefix=f"saferollout-{command}-", suffix=".log")
    except OSError:
        log, path = os.dup(2), ""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        _kept[number] = os.fdopen(
            os.dup(number), "w", encoding=stream.encoding, errors=stream.errors or "strict", buffering=1
        )
        os.dup2(log, number)
    os.close(log)
    if path:
        say(f"log: {path}")
    return True


def restore() -> None:
    """Let standard output and error be what they were, as for a traceback."""
    for number, stream in _kept.items():
        with stream:
            stream.flush()
            os.dup2(stream.fileno(), number)
    _kept.clear()


def say(text: str) -> None:
    """Write a line to whoever watches, who may be gone with the terminal."""
    try:
        print(printable(text), file=err(), flush=True)
    except OSError:
        return


def show(text: str) -> None:
    """Write markdown to whoever watches."""
    print(_rendered(text, err()), file=err())


def _rendered(text: str, stream: IO[str]) -> str:
    """Markdown as the stream can show it; rich itself would end the program where its reader is gone."""
    console = Console(file=stream)
    with console.capture() as shown:
        console.print(Markdown(printable(text)))
    return shown.get().removesuffix("\n")


def print_result(result: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Write the result to standard output: one JSON object, or markdown.

    Where that cannot be written the exit code still says what became of the command.
    """
    try:
        print(json.dumps(result) if as_json else _rendered(text, out()), file=out(), flush=True)
    except OSError as error:
        say(f"the result could not be written: {error.strerror}")
        write_nowhere(out())  # at the end Python would fail over what is still buffered once more


def write_report(path: Path | None, text: str) -> None:
    """Write the report to a file, if one is named.

    Raises:
        ConfigError: It cannot be written.
    """
    if path is None:
        return
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        problem = Problem("command line", "--report", f"cannot write {path}: {error.strerror}", "name another file")
        raise ConfigError(problem) from None


def print_json(value: Any) -> None:
    """Write a JSON document for a file."""
    print(json.dumps(value, indent=2, ensure_ascii=not is_unicode(out())), file=out())


def clear() -> None:
    """Clear the terminal, where there is one, before the same is printed anew."""
    Console(file=out()).clear()
