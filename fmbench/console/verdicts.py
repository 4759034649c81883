"""What a verification found, on a terminal."""

from collections import defaultdict
from collections.abc import Sequence

from fmbench.console.stream import out, plain, print_table, tell
from fmbench.verification.findings import Finding, Level, Verdict, VerdictOfRun
from fmbench.wording import counted

STYLES: dict[Level, str] = {"false": "bold red", "note": "yellow", "unchecked": "dim"}
WIDTH = max(map(len, STYLES))
SHOWN = 20
"""How many findings of one kind and level are printed; `--json` has all."""


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """A table of rows with their tiers for each store, what was found, and what that means."""
    for verdict in verdicts:
        _print_rows(verdict)
        for findings in _by_kind(verdict.findings):
            for finding in findings[:SHOWN]:
                _print(finding)
            if (more := len(findings) - SHOWN) > 0:
                tell(f"  {'':<{WIDTH}} and {more} more of this kind; --json has all", "dim")
    runs = sum(len(one.runs) for one in verdicts)
    false = sum(len(one.false) for one in verdicts)
    tell("")
    if false:
        tell(f"{counted(runs, 'run')} read, {counted(false, 'finding')} of something false.")
    else:
        tell(f"{counted(runs, 'run')} read, nothing is false.")


def _print_rows(verdict: Verdict) -> None:
    rows: dict[tuple[str, str], list[VerdictOfRun]] = defaultdict(list)
    for run in verdict.runs:
        rows[run.model, run.distribution].append(run)
    print_table(
        [
            {
                "model": model,
                "plugin": distribution,
                "runs": str(len(runs)),
                **{tier: _count(runs, tier) for tier in ("re-run", "re-scored", "reported")},
                "false": _count(runs, None),
                "made again": "; ".join(
                    dict.fromkeys(run.came_out for run in runs if run.came_out)
                ),
            }
            for (model, distribution), runs in sorted(rows.items())
        ],
        title=f"{verdict.protocol} verified",
        droppable=("plugin",),
        wrapping="made again",
    )


def _count(runs: Sequence[VerdictOfRun], tier: str | None) -> str:
    return str(sum(run.tier == tier for run in runs) or "")


def _by_kind(findings: Sequence[Finding]) -> list[list[Finding]]:
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.level, finding.kind].append(finding)
    return list(groups.values())


def _print(finding: Finding) -> None:
    line = plain(f"  {finding.level:<{WIDTH}} ", STYLES[finding.level])
    words = f"{finding.where}: {finding.what}".replace("\n", " ")  # a name cannot feign a finding
    line.append_text(plain(words, "default"))
    out.print(line, soft_wrap=True)
