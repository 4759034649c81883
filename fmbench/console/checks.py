"""Checks on a terminal: a line each, under the name of their model."""

from collections.abc import Iterable

from fmbench.console.stream import out, plain, say
from fmbench.testing.reports import Report
from fmbench.wording import counted

STYLES = {"ok": "green", "warning": "yellow", "error": "bold red", "skipped": "dim"}
WIDTH = max(map(len, STYLES))


def print_reports(reports: Iterable[Report]) -> list[Report]:
    """Print each report as it comes, a summary as talk at the end; returns them all."""
    printed: list[Report] = []
    for report in reports:
        if not printed or _about(report) != _about(printed[-1]):
            out.print(plain(_about(report), "bold"), soft_wrap=True)
        _print(report)
        printed.append(report)
    models = len({_about(report) for report in printed if report.model})
    counts = [
        f"{sum(report.outcome == outcome for report in printed)} {outcome}" for outcome in STYLES
    ]
    say(f"{counted(models, 'model')} checked: {', '.join(counts)}")
    return printed


def _about(report: Report) -> str:
    return f"{report.model} ({report.plugin})" if report.model else report.plugin


def _print(report: Report) -> None:
    style = STYLES[report.outcome]
    line = plain(f"  {report.outcome:<{WIDTH}} ", style)
    line.append_text(plain(report.check, style if report.outcome == "skipped" else "default"))
    if report.message:
        line.append_text(plain(f": {_indented(report.message)}", "default"))
    out.print(line, soft_wrap=True)
    if report.outcome in ("error", "warning"):
        out.print(plain(_below(f"requires: {report.requires}"), "dim"), soft_wrap=True)
        if report.hint:
            out.print(plain(_below(f"hint: {report.hint}")), soft_wrap=True)


def _below(words: str) -> str:
    return f"  {'':<{WIDTH}} {_indented(words)}"


def _indented(words: str) -> str:
    """Words whose further lines stand under their first."""
    return words.replace("\n", f"\n  {'':<{WIDTH}} ")
