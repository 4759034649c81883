"""The report: what README.md and docs/vgg11.md show of the measurements in benchmarks/results.

    python benchmarks/report.py --write

writes both pages anew; without --write it says whether they are fresh. What VGG-11's rows took is
read from the records of the board in results/published.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import command_line
import costs
import measurements
import tables
from command_line import say
from measurements import (
    Boards,
    Growth,
    Ladder,
    Measurement,
    Memory,
    Overhead,
    Speed,
    TimeToAccuracy,
)

from fmbench.leaderboard.evidence import Entry, Evidence
from fmbench.store import Store

HERE = Path(__file__).parent
README = HERE / "README.md"
VGG11 = HERE.parent / "docs" / "vgg11.md"
RESULTS = HERE / "results"
PUBLISHED = HERE.parent / "results" / "published"
BOARD = "lite-v1"
NOTHING = "Not measured yet.\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages anew, or return 1 when one is stale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the pages")
    options = parser.parse_args(arguments)
    stale = False
    for page, contents in pages(read_all(RESULTS)).items():
        fresh = fill(page.read_text("utf-8"), contents)
        if options.write:
            page.write_text(fresh, "utf-8")
        elif fresh != page.read_text("utf-8"):
            say(f"{page.name} is stale: python benchmarks/report.py --write")
            stale = True
    return int(stale)


def read_all(folder: Path) -> list[Measurement]:
    """The measurements in a folder, in the order of their file names."""
    return [measurements.read(path) for path in sorted(folder.glob("*.json"))]


def pages(found: Sequence[Measurement]) -> dict[Path, dict[str, str]]:
    """What belongs between the marks of each page, by the name of the section."""

    def of(kind: type[Measurement]) -> str:
        return _joined([one for one in found if isinstance(one, kind)])

    timed = [one for one in found if isinstance(one, TimeToAccuracy)]
    return {
        README: {
            "speed": of(Speed),
            "overhead": of(Overhead),
            "growth": of(Growth),
            "memory": of(Memory),
            "boards": of(Boards),
            "time to accuracy": _joined([one for one in timed if one.model != "vgg11"]),
        },
        VGG11: {
            "time to accuracy": _joined([one for one in timed if one.model == "vgg11"]),
            "rows": costs.to_markdown(_published("vgg11", "vgg11-bn")),
            "ladder": of(Ladder),
        },
    }


def fill(text: str, contents: Mapping[str, str]) -> str:
    """The text with what lies between each section's marks made anew.

    Raises `ValueError` when a section's marks are missing.
    """
    for name, content in contents.items():
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->\n"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not begun or not ended:
            raise ValueError(f"{begin.strip()} or {end.strip()} is missing")
        text = f"{before}{begin}\n{content or NOTHING}\n{end}{after}"
    return text


def _published(*models: str) -> list[Entry]:
    entries = Evidence(Store(PUBLISHED, BOARD)).entries
    return [entry for entry in entries if entry.model in models]


def _joined(found: Sequence[Measurement]) -> str:
    return "\n".join(tables.to_markdown(one) for one in found)


if __name__ == "__main__":
    command_line.run(main)
