"""The terminal, pipes and files a command writes to: they may speak ASCII, go away, or be full."""

import errno
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from fmbench.errors import UsageError

SIZES = ("COLUMNS", "LINES")


def prepare() -> None:
    """Make the process fit for any terminal, before anything is printed.

    What cannot be encoded is printed as `?`. What is printed after a pipe's reader or the terminal
    has gone is lost, and the command goes on; so is talk that a full disk does not take, but data
    are a `UsageError` there. A hangup, unless it is ignored, and a request to terminate are as
    Ctrl-C. A size of the terminal that is none is as if it were not set.
    """
    sys.stdout = _outliving(sys.stdout, is_data=True)
    sys.stderr = _outliving(sys.stderr, is_data=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    # What `processes.hear_of_children` does; its imports would slow every start.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in SIZES:
        size = os.environ.get(name, "")
        if not (size.isdecimal() and int(size)):
            os.environ.pop(name, None)


class _Outliving(io.FileIO):
    """A file, pipe or terminal to write to; one that takes nothing more is written to no more."""

    def __init__(self, descriptor: int, *, is_data: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._must_be_taken = is_data and not self.isatty()
        self._gone = False

    def write(self, content: Any) -> int:
        """Write bytes as `io.FileIO` does; raises `UsageError` once for data that are lost."""
        try:
            if not self._gone:
                return super().write(content)
        except OSError as error:
            self._gone = True
            if self._must_be_taken and error.errno != errno.EPIPE:
                raise UsageError(
                    f"cannot be written: {error.strerror}",
                    where="standard output",
                    hint="write to a disk with free space",
                ) from error
        return memoryview(content).nbytes


def _outliving(stream: TextIO | None, *, is_data: bool) -> TextIO:
    """A standard stream that outlives what it writes to; one that is no file as it is."""
    if stream is None:  # it was closed before the start
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Outliving(descriptor, is_data=is_data)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
