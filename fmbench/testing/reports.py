"""What a check reports about a model, as plain data, and how what a plugin raises is put there."""

import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct

import fmbench
from fmbench.errors import FmbenchError
from fmbench.wording import raised

Severity = Literal["error", "warning"]
LONGEST_MESSAGE = 400
LONGEST_TRACE = 10_000


class Report(Struct, frozen=True, kw_only=True):
    """How one check ended.

    model:    empty when the report is about a plugin as a whole.
    plugin:   distribution and version.
    requires: what the check requires, in a sentence.
    trace:    the traceback of what a plugin raised, for its author.
    seconds:  how long the check took.
    """

    model: str
    plugin: str
    check: str
    requires: str
    outcome: Literal["ok", "warning", "error", "skipped"]
    message: str = ""
    hint: str = ""
    trace: str = ""
    seconds: float = 0.0


class Fault(Exception):  # noqa: N818 - what a check finds is a fault of the model
    """What a check finds wrong, in a sentence, and what to do about it."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class SkipError(Exception):
    """Why a check does not apply to a model."""


def failed(reports: Iterable[Report]) -> bool:
    """Whether a check found an error, or of something nothing was checked at all.

    Checks that were all skipped prove nothing, and neither does an empty list.
    """
    checked: dict[tuple[str, str], bool] = {}
    for report in reports:
        if report.outcome == "error":
            return True
        about = (report.plugin, report.model)
        checked[about] = checked.get(about, False) or report.outcome != "skipped"
    return not checked or not all(checked.values())


def told(error: BaseException) -> str:
    """What was raised, and in which line of the plugin."""
    if isinstance(error, Fault | FmbenchError):
        return error.what
    words = " ".join(raised(error).split())[:LONGEST_MESSAGE]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if may_be_the_plugins(frame.filename):
            return f"{words} ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})"
    return words


def trace(error: BaseException) -> str:
    """The traceback of what a plugin raised; empty for a fault, whose sentence says it all."""
    if isinstance(error, Fault | FmbenchError):
        return ""
    return "".join(traceback.format_exception(error))[-LONGEST_TRACE:]


def may_be_the_plugins(file: str) -> bool:
    """Whether a source file is neither this package's nor torch's nor Python's own."""
    packages, core = sysconfig.get_path("purelib"), str(Path(fmbench.__file__).parent)
    if file.startswith((f"{core}/", f"{packages}/torch/", "<")):
        return False
    return file.startswith(packages) or not file.startswith(sysconfig.get_path("stdlib"))
