"""The report: README.md's tables, generated from the measurements in benchmarks/results.

    python benchmarks/report.py --write

writes README.md anew; without --write it says whether README.md is fresh.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import command_line
import measurements
import tables
from command_line import say
from measurements import Growth, Ladder, Measurement, Memory, Speed, TimeToAccuracy

HERE = Path(__file__).parent
README = HERE / "README.md"
RESULTS = HERE / "results"
SECTIONS: dict[str, type[Measurement]] = {
    "speed": Speed,
    "growth": Growth,
    "memory": Memory,
    "time to accuracy": TimeToAccuracy,
    "ladder": Ladder,
}
NOTHING = "Not measured yet."


def main(arguments: Sequence[str] | None = None) -> int:
    """Write README.md anew, or return 1 when it is stale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write README.md")
    options = parser.parse_args(arguments)
    fresh = fill(README.read_text("utf-8"), read_all(RESULTS))
    if options.write:
        README.write_text(fresh, "utf-8")
    elif fresh != README.read_text("utf-8"):
        say("README.md is stale: python benchmarks/report.py --write")
        return 1
    return 0


def read_all(folder: Path) -> list[Measurement]:
    """The measurements in a folder, in the order of their file names."""
    return [measurements.read(path) for path in sorted(folder.glob("*.json"))]


def fill(text: str, found: Sequence[Measurement]) -> str:
    """The text with what lies between each section's marks made anew from measurements.

    Raises `ValueError` when a section's marks are missing.
    """
    for name, kind in SECTIONS.items():
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->\n"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not begun or not ended:
            raise ValueError(f"{begin.strip()} or {end.strip()} is missing")
        parts = [tables.to_markdown(one) for one in found if isinstance(one, kind)]
        text = f"{before}{begin}\n{chr(10).join(parts) or NOTHING + chr(10)}\n{end}{after}"
    return text


if __name__ == "__main__":
    command_line.run(main)
