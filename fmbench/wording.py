"""Numbers and tables as people read them, and text that cannot do anything but be read."""

import os
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path

UNSAFE = ("Cc", "Cf", "Cs")
UNITS = ("", "k", "M", "G", "T")


def short(number: float | None) -> str:
    """Three significant digits with k, M, G or T."""
    if number is None:
        return ""
    power = 0
    while power < len(UNITS) - 1 and abs(number) / 1000**power >= 999.5:
        power += 1
    size = number / 1000**power
    digits = 0 if size >= 99.95 or (not power and size == int(size)) else 1 if size >= 9.995 else 2
    return f"{size:.{digits}f} {UNITS[power]}".rstrip()


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 4.2 ms, 0.12 s, 34 s, 3 min 20 s, 2 h 05 min."""
    if seconds is None:
        return ""
    if 0 < seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def inert(words: str) -> str:
    """Words from anywhere without characters that move a cursor or change direction.

    Control and format characters other than line ends and tabs are replaced by U+FFFD, and so are
    lone surrogates, which JSON can hold and UTF-8 cannot.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) in UNSAFE and character not in "\n\t"
        else character
        for character in words
    )


def encodable(words: str) -> str:
    """Words that UTF-8 can hold: lone surrogates, which a Python string may have, are spelt out."""
    return words.encode("utf-8", "backslashreplace").decode()


def raised(error: BaseException) -> str:
    """What was raised, its class and its message, whatever either does when it is read."""
    try:
        said = str(error)
    except Exception:
        said = "it has no message that can be printed"
    return encodable(f"{type(error).__name__}: {said}")


def without_home(words: str) -> str:
    """Words with `~` for the user's home folder, where there is one: records get published."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return words.replace(home, "~") if len(home) > 1 else words


def percent(share: float | None, digits: int = 2) -> str:
    """A share from 0 to 1 in per cent, without the sign."""
    return "" if share is None else f"{100 * share:.{digits}f}"


def memory(number: float | None) -> str:
    """Bytes with three significant digits: `1.09 GB`."""
    said = short(number)
    return said and (f"{said}B" if said[-1] in UNITS else f"{said} B")


def counted(number: int, noun: str) -> str:
    """How many of something there are: `1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def versions(of: dict[str, str]) -> str:
    """Distributions with their versions, by name: `numpy 2.4.6, torch 2.14.1`."""
    return ", ".join(f"{name} {version}" for name, version in sorted(of.items()))


def then_and_now(then: dict[str, str], now: dict[str, str]) -> tuple[str, ...]:
    """What differs between two accounts: `torch: 2.14.1 then, 2.15.0 now`."""
    return tuple(
        f"{name}: {then.get(name) or 'none'} then, {now.get(name) or 'none'} now"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    )


def same_records(results: Path, protocol: str | None = None) -> str:
    """What a suggested command ends in to be about the same records, empty for the defaults."""
    said = "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
    return said if protocol is None else f"{said} --protocol {shlex.quote(protocol)}"


def rank_set(best: int | None, worst: int | None) -> str:
    """The ranks a model may have: `1`, `1-3`, empty when it is not ranked."""
    if best is None or worst is None:
        return ""
    return str(best) if best == worst else f"{best}-{worst}"


def points(share: float) -> str:
    """A difference of two shares, in percentage points."""
    return f"{100 * share:.2f} percentage points"


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool]
) -> str:
    """A Markdown table, padded so that it reads as text; `right` says which columns end flush."""
    cells = [[cell.strip() for cell in row] for row in rows]
    widths = [
        max(len(heading) + 2, *(len(row[place]) for row in cells))
        for place, heading in enumerate(headings)
    ]
    rule = "|".join(
        f"{'-' * (width + 1)}:" if flush else f":{'-' * (width + 1)}"
        for width, flush in zip(widths, right, strict=True)
    )
    head, *body = (
        " | ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        )
        for row in (headings, *cells)
    )
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {line} |" for line in body)])
