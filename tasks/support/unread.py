"""Standard streams that nobody need read: a run goes on when its worker has died, which read what it writes.

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
            _write_nowhere(self)
            return super().write(data)


def _write_nowhere(file: IO[str] | io.FileIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def _go_on(self: Console) -> None:
    _write_nowhere(self.file)


def lasting(stream: TextIO) -> TextIO:
    """The same stream, to which writing never fails for want of a reader."""
    stream.flush()
    raw = _Lasting(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True)


Console.on_broken_pipe = _go_on  # type: ignore[method-assign]  # Prefect makes its handler's console itself
for _name in ("stdout", "stderr"):
    _stream = getattr(sys, _name)
    if _stream and _stream is getattr(sys, f"__{_name}__"):  # and no notebook's, nor a test's
        setattr(sys, _name, lasting(_stream))
