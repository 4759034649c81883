"""What a check reports about a model, as plain data, and how what a plugin raises is put there."""

import re
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

import fmbench
from fmbench.errors import FmbenchError
from fmbench.wording import raised

Severity = Literal["error", "warning"]
Outcome = Literal["ok", "warning", "error", "skipped"]
LONGEST_MESSAGE = 400
LONGEST_TRACE = 10_000
FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')
"""A line that faulthandler writes."""


class Report(Struct, frozen=True, kw_only=True):
    """How one check ended.

    model:    empty when the report is about a plugin as a whole.
    plugin:   distribution and version.
    requires: what the check requires, in a sentence.
    trace:    the traceback of what a plugin raised, for its author.
    seconds:  how long the check took.
    """

    model: str = ""
    plugin: str = ""
    check: str
    requires: str
    outcome: Outcome
    message: str = ""
    hint: str = ""
    trace: str = ""
    seconds: float = 0.0


class Fault(FmbenchError):  # noqa: N818 - what a check finds is a fault of the model
    """What a check finds wrong with a model."""


class SkipError(Exception):
    """Why a check does not apply to a model."""


def failed(reports: Iterable[Report]) -> bool:
    """Whether a check found an error, or of something nothing was checked at all.

    Checks that were all skipped prove nothing, and neither does an empty list.
    """
    outcomes: dict[tuple[str, str], set[Outcome]] = {}
    for report in reports:
        outcomes.setdefault((report.plugin, report.model), set()).add(report.outcome)
    return not outcomes or any("error" in one or one == {"skipped"} for one in outcomes.values())


def told(error: BaseException) -> str:
    """What was raised, and in which line of the plugin."""
    words = " ".join(raised(error).split())[:LONGEST_MESSAGE]
    line = line_of_plugin(reversed(traceback.extract_tb(error.__traceback__)))
    return f"{words} ({line})" if line else words


def trace(error: BaseException) -> str:
    """The traceback of what a plugin raised."""
    return "".join(traceback.format_exception(error))[-LONGEST_TRACE:]


def line_of_crash(frames: str) -> str:
    """The innermost line of a plugin in what faulthandler wrote; "" for none."""
    found = FRAME.findall(frames)
    return line_of_plugin(
        (file.encode().decode("unicode_escape", "replace"), line, function)
        for file, line, function in found
    )


def line_of_plugin(frames: Iterable[Iterable[Any]]) -> str:
    """The first of some frames (file, line, function) that is a plugin's; "" for none.

    A plugin's is what is neither this package's nor torch's nor Python's own.
    """
    packages, core = sysconfig.get_path("purelib"), str(Path(fmbench.__file__).parent)
    for file, line, function, *_ in frames:
        if file.startswith((f"{core}/", f"{packages}/torch/", "<")):
            continue
        if file.startswith(packages) or not file.startswith(sysconfig.get_path("stdlib")):
            return f"{Path(file).name}, line {line}, in {function}"
    return ""
