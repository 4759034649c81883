"""The log of a worker: what is kept of what it prints."""

import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fmbench.execution.log import HALF, LONGEST_LINE, Drain, Log
from fmbench.store import LOG_BYTES

LETTERS = st.binary(max_size=300).map(lambda content: content.hex().encode())


def log_of(*parts: bytes) -> bytes:
    """What a log keeps of these parts."""
    log = Log()
    for part in parts:
        log.add(part)
    return log.content()


@given(st.lists(LETTERS | st.just(b"\n"), max_size=30))
def test_what_fits_is_kept_whole(parts: list[bytes]) -> None:
    """However it is cut into pieces, plain text that fits comes back as it was."""
    assert log_of(*parts) == b"".join(parts)


@given(st.lists(st.binary(max_size=9).map(lambda part: part * 9000), max_size=40))
def test_no_output_makes_a_log_that_is_too_large(parts: list[bytes]) -> None:
    """Whatever is printed, the log is UTF-8 of at most its size."""
    kept = log_of(*parts)
    assert len(kept) <= LOG_BYTES
    kept.decode()


def test_of_much_output_the_beginning_and_the_end_are_kept() -> None:
    """Between them stands how much is left out, and what is said adds up to what was printed."""
    lines = [f"line {number} of many\n".encode() for number in range(100_000)]
    head, mark, tail = log_of(b"".join(lines[:7]), *lines[7:]).split(b"\n[")[0:1] + log_of(
        *lines
    ).partition(b"\n[")[2].split(b" bytes are left out here]\n")
    assert head.startswith(lines[0])
    assert tail.endswith(lines[-1])
    left_out = int(mark.replace(b",", b""))
    assert len(head) + left_out + len(tail) == len(b"".join(lines))
    assert len(head) == len(tail) == HALF


def test_of_a_bar_the_last_state_is_kept() -> None:
    """What a carriage return writes over is gone, and so are colours; CRLF ends a line."""
    bar = b"\r  0%|          | 0/2\r 50%|#####     | 1/2\r100%|##########| 2/2\n"
    assert log_of(b"epoch 1\r\n", bar[:20], bar[20:], b"\x1b[31mred\x1b[0m\n") == (
        b"epoch 1\n100%|##########| 2/2\nred\n"
    )


def test_a_line_without_end_is_kept_too() -> None:
    """Output without a line end is kept like any other, and a bar without one by its state."""
    endless = b"x" * (3 * LONGEST_LINE)
    assert log_of(endless[:LONGEST_LINE], endless[LONGEST_LINE:]) == endless
    states = b"".join(b"\r%06d" % number for number in range(50_000))
    assert log_of(states[: len(states) // 2], states[len(states) // 2 :]) == b"049999"


def test_the_home_folder_is_not_kept() -> None:
    """Logs get published: what lies in the user's home folder is written with `~`."""
    assert log_of(f"in {Path.home() / 'x'}".encode()) == b"in ~/x"


def test_what_was_printed_before_is_in_the_log() -> None:
    """A log that is read right after a flood has all of it; at its end the pipe is closed."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as printed:
        drain = Drain(pipe)
        for number in range(300):
            printed.write(b"x" * 10_000 + b"%d\n" % number)
        assert drain.content().endswith(b"x299\n")
        printed.close()
        while not pipe.closed:
            time.sleep(0.001)
        assert drain.content().endswith(b"x299\n")
