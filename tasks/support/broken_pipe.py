"""The output of a deployed run, whose process goes on when its worker has died, which read it.

Else the next line ends it in the middle of a rollout: Rich, which writes Prefect's log, exits where its pipe is broken,
and the dots that Azure's SDK prints raise BrokenPipeError. Prefect's server still gets the whole log.
"""

import io
import os
import sys
from typing import IO, Any, TextIO

from rich.console import Console


class _Lasting(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            write_nowhere(self)
            return super().write(data)


def write_nowhere(file: IO[str] | io.FileIO) -> None:
    """Let what is written to this file, and what of it is still buffered, go nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def _go_on(self: Console) -> None:
    write_nowhere(self.file)


def _lasting(stream: TextIO) -> TextIO:
    """The same stream, to which writing never fails for want of a reader; the one given must stay open."""
    stream.flush()
    raw = _Lasting(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True)


def outlive_reader() -> None:
    """Let writing to this process's output, from now on, never fail because whoever read it has died."""
    Console.on_broken_pipe = _go_on  # type: ignore[method-assign]  # Prefect makes its handler's console itself
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream and stream is getattr(sys, f"__{name}__"):  # and no test's
            setattr(sys, name, _lasting(stream))
