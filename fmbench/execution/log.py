"""What a worker prints: the beginning and the end of it are kept, as a terminal would show them."""

import os
import re
import select
import threading
import time
from typing import IO

from fmbench.store import LOG_BYTES
from fmbench.wording import without_home

ROOM_FOR_THE_MARK = 80
HALF = (LOG_BYTES - ROOM_FOR_THE_MARK) // 2
LONGEST_LINE = 64 * 1024
LOOKS, SECONDS_BETWEEN_LOOKS = 100, 0.001


class Log:
    """The first and the last half of what comes, at most `LOG_BYTES` with a mark between.

    Of a line that was written over, a progress bar say, the last state is kept.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0
        self._line = bytearray()

    def add(self, content: bytes) -> None:
        """Take what was printed next."""
        *whole, rest = content.split(b"\n")
        for line in whole:
            self._line += line
            self._keep(_last_state(self._line) + b"\n")
            self._line.clear()
        self._line += rest
        if len(self._line) > LONGEST_LINE:
            kept = _last_state(self._line)
            self._line = bytearray(kept)
            if len(kept) > LONGEST_LINE:
                self._keep(kept)
                self._line.clear()

    def content(self) -> bytes:
        """What is kept, as UTF-8, without colours and the user's home folder."""
        head, tail = bytes(self._head), bytes(self._tail) + _last_state(self._line)
        left_out = self._left_out + max(0, len(tail) - HALF)
        mark = f"\n[{left_out:,} bytes are left out here]\n".encode() if left_out else b""
        text = (head + mark + tail[-HALF:]).decode("utf-8", "replace")
        encoded = without_home(_STYLE.sub("", text)).encode()[-LOG_BYTES:]
        return encoded.decode("utf-8", "ignore").encode()  # without half a character at the cut

    def _keep(self, content: bytes) -> None:
        room = HALF - len(self._head) if not self._tail else 0
        self._head += content[:room]
        self._tail += content[room:]
        if len(self._tail) > 2 * HALF:
            self._left_out += len(self._tail) - HALF
            del self._tail[:-HALF]


class Drain:
    """Reads a pipe to its end in a thread, so that who prints never waits, and keeps a log."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._log = Log()
        self._lock = threading.Lock()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def content(self) -> bytes:
        """The log of what was printed until now; of a flood that does not stop, nearly so."""
        for _ in range(LOOKS):
            with self._lock:
                if self._ended or not self._waiting(0):
                    break
            time.sleep(SECONDS_BETWEEN_LOOKS)  # the thread is about to read
        with self._lock:
            return self._log.content()

    def _read(self) -> None:
        with self._pipe:
            while not self._ended:
                self._waiting(None)
                with self._lock:
                    content = os.read(self._pipe.fileno(), 65536)
                    self._log.add(content)
                    self._ended = not content

    def _waiting(self, milliseconds: int | None) -> bool:
        """Whether there is something to read, within so long or at all."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        return bool(poll.poll(milliseconds))


def _last_state(line: bytes | bytearray) -> bytes:
    """What a terminal shows of a line that a carriage return has begun anew."""
    return bytes(line).rstrip(b"\r").rpartition(b"\r")[2]


_STYLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""Control sequences of terminals: colours, cursor movements (ECMA-48, 5.4)."""
