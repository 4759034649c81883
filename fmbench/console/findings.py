"""What the doctor finds, on a terminal: a line each, its hint below."""

from collections.abc import Iterable

from fmbench.console.stream import out, plain, say
from fmbench.doctor.findings import LEVELS, Finding
from fmbench.wording import counted

STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}
WIDTH = max(map(len, LEVELS))


def print_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Print each finding as it comes, a summary as talk at the end; returns them all."""
    printed: list[Finding] = []
    for finding in findings:
        line = plain(f"{finding.level:<{WIDTH}} ", STYLES[finding.level])
        line.append_text(plain(f"{finding.about}: {_indented(finding.says)}", "default"))
        out.print(line, soft_wrap=True)
        if finding.hint:
            out.print(plain(f"{'':<{WIDTH}} hint: {_indented(finding.hint)}"), soft_wrap=True)
        printed.append(finding)
    levels = [one.level for one in printed]
    faults, warnings = levels.count("fault"), levels.count("warning")
    say(f"{counted(faults, 'fault')}, {counted(warnings, 'warning')}")
    return printed


def _indented(words: str) -> str:
    """Words whose further lines stand under their first."""
    return words.replace("\n", f"\n{'':<{WIDTH}} ")
