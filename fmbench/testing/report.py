"""What a check says about a model, as plain data."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from fmbench.records import Plugin

Severity = Literal["error", "warning"]
Outcome = Literal["ok", "warning", "error", "skipped"]


class Check(Struct, frozen=True):
    """One law of the plugin contract, and how bad it is to break it."""

    name: str
    severity: Severity
    law: str


class Report(Struct, frozen=True, kw_only=True):
    """How one check ended.

    model:   empty when the report is about a plugin as a whole.
    plugin:  distribution and version.
    check:   the check's name, `law` its sentence.
    trace:   the traceback of what a plugin raised, for its author.
    seconds: how long the check took.
    """

    model: str
    plugin: str
    check: str
    law: str
    outcome: Outcome
    message: str = ""
    hint: str = ""
    trace: str = ""
    seconds: float = 0.0


def provenance(plugin: Plugin) -> str:
    """A plugin as reports name it: distribution and version."""
    return f"{plugin.distribution} {plugin.version}"


def report_of(
    check: Check,
    outcome: Outcome,
    message: str = "",
    *,
    model: str,
    plugin: str,
    hint: str = "",
    trace: str = "",
    seconds: float = 0.0,
) -> Report:
    """The report of a check that ended this way."""
    return Report(
        model=model,
        plugin=plugin,
        check=check.name,
        law=check.law,
        outcome=outcome,
        message=message,
        hint=hint,
        trace=trace,
        seconds=round(seconds, 3),
    )


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
