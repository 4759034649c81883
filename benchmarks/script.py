"""What the scripts share: options, the sentence on where numbers were made, tables and pages."""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from fmbench import environment, limits
from fmbench.errors import FmbenchError
from fmbench.hardware import Device, cpu_device
from fmbench.training.devices import identified
from fmbench.wording import markdown_table, versions

ROOT = Path(__file__).parents[1]
README = ROOT / "benchmarks" / "README.md"
VGG11 = ROOT / "docs" / "vgg11.md"
PUBLISHED = ROOT / "results" / "published"
LIBRARIES = ("torch", "torchvision", "timm", "numpy")


def bare_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser without options."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with --write alone."""
    made = bare_parser(description)
    made.add_argument("--write", action="store_true", help="also put the table into its page")
    return made


def training_parser(
    description: str | None, *, protocol: str = "lite-v1"
) -> argparse.ArgumentParser:
    """A parser with --write, --protocol, --device, --threads and --data-dir."""
    made = parser(description)
    made.add_argument("--protocol", default=protocol, help=f"name or .toml file; {protocol}")
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:INDEX; cpu")
    made.add_argument("--threads", type=int, default=limits.cores(), help="CPU threads; all cores")
    made.add_argument("--data-dir", type=Path, help="folder of the four files; they are found")
    return made


def say(sentence: str) -> None:
    """Print progress to stderr at once; tables go to stdout."""
    print(sentence, file=sys.stderr, flush=True)


def begin(device: Device, threads: int) -> str:
    """Return the sentence that stands below a table: day, machine, versions, other programs' load.

    The CPU's name holds the instruction set that torch uses. Warns when the machine is busy.
    """
    busy = environment.busy_share()
    if busy > environment.BUSY:
        say("other programs keep this machine busy: times measured now mean little")
    here = environment.describe(device, threads)
    gpu = "" if device.kind == "cpu" else f"{device.name}, "
    used = {name: version for name in LIBRARIES if (version := environment.version(name))}
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {gpu}{identified(cpu_device()).name}, {here.cores} cores, "
        f"threads used: {threads}, {here.os}, Python {here.python}, "
        f"fmbench {here.fmbench} {here.commit[:12]}".rstrip()
        + f", {versions(used)}; other programs used {busy:.0%} of the cores."
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table whose first columns, `words` of them, are aligned left."""
    return markdown_table(headings, rows, right=[n >= words for n in range(len(headings))])


def spread(values: Sequence[float], show: Callable[[float], str] = "{:.2f}".format) -> str:
    """The median and, in brackets, the smallest and the largest value."""
    return f"{show(median(values))} ({show(min(values))}–{show(max(values))})"


def finish(section: str, *paragraphs: str, page: Path | None) -> None:
    """Print the paragraphs and, where a page is given, put them between the section's marks."""
    text = "\n\n".join(paragraphs) + "\n"
    print(text)
    if page:
        page.write_text(fill(page.read_text("utf-8"), section, text), "utf-8")


def fill(page: str, section: str, text: str) -> str:
    """The page with what lies between the section's marks replaced; `ValueError` without marks."""
    begin, end = f"<!-- {section}: generated -->\n", f"<!-- end of {section} -->\n"
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{begin.strip()} or {end.strip()} is missing")
    return f"{before}{begin}\n{text}\n{end}{after}"


def run(main: Callable[[Sequence[str] | None], int]) -> None:
    """Exit with the status of a script's `main`; an error that a user can mend is one message."""
    try:
        sys.exit(main(None))
    except FmbenchError as error:
        say(str(error))
        sys.exit(error.exit_code)
