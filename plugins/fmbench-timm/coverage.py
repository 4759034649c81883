"""Go through all of timm's architectures on the meta device and write down how each is built.

    python plugins/fmbench-timm/coverage.py            # what this timm gives, as a table
    python plugins/fmbench-timm/coverage.py --write    # into inputs.json, COVERAGE.md, README.md

Each architecture is tried in a process of its own with a time limit, so that a crash costs only
that name. Answers are kept in a journal as they come; starting again goes on from there.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import timm
import torch
from fmbench_timm import probing
from fmbench_timm.inputs import PLAIN, POOLED, SIZE, Input, Measured, write

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SECONDS = 120
PAGE = Path(__file__).with_name("COVERAGE.md")
README = Path(__file__).with_name("README.md")
REASONS = {  # where the error that timm raises does not say it
    "csatv2": "its first layer takes the cosine transform of three colours, and these are grey",
}
MARKS = ("<!-- coverage.py writes from here -->", "<!-- to here -->")


def measure(journal: Path, jobs: int) -> Measured:
    """Return the input of every architecture; those that stand in `journal` are not tried again."""
    known = dict(_read(journal))
    missing = [name for name in timm.list_models() if name not in known]
    with journal.open("a", encoding="utf-8") as lines, ThreadPoolExecutor(jobs) as pool:
        for name, found in zip(missing, pool.map(find_alone, missing), strict=True):
            known[name] = found
            lines.write(json.dumps([name, found]) + "\n")
            lines.flush()
    inputs = {name: _worded(known[name]) for name in sorted(timm.list_models())}
    return Measured(timm.__version__, torch.__version__.partition("+")[0], inputs)


def find_alone(name: str) -> Input:
    """Return the input of one architecture, found in a process of its own."""
    context = multiprocessing.get_context("fork")  # timm is imported once, here
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=partial(_answer, name, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            return Input("", 0, 0, "", f"it was still busy after {SECONDS} s on the meta device")
        return Input(*ours.recv())
    except EOFError:
        process.join()
        return Input("", 0, 0, "", f"its process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _answer(name: str, connection: "Connection") -> None:
    torch.set_num_threads(1)
    connection.send(tuple(probing.find_input(name)))


def _worded(found: Input) -> Input:
    module = found.module.rpartition(".")[2]
    return found._replace(reason=REASONS.get(module, found.reason)) if found.reason else found


def _read(journal: Path) -> Iterator[tuple[str, Input]]:
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            name, fields = json.loads(line)
            yield name, Input(*fields)


def summary(contents: Measured) -> str:
    """Return the Markdown table of how many architectures are built how."""
    count = Counter(_describe(found) for found in contents.inputs.values())
    rows = [f"| {text} | {number:,} |" for text, number in count.most_common()]
    return "\n".join(
        ["| how it is built | architectures |", "|---|---:|", *rows, f"| all | {count.total():,} |"]
    )


def exceptions(contents: Measured) -> str:
    """Return the Markdown table of the architectures not built at 32 pixels, or not at all."""
    rows = [
        f"| `timm/{name}` | {_describe(found)} | {found.size or '–'} | {found.reason or '–'} |"
        for name, found in contents.inputs.items()
        if found.size != SIZE or found.way == POOLED
    ]
    return "\n".join(["| model | how | pixels | reason |", "|---|---|---:|---|", *rows])


def _describe(found: Input) -> str:
    if found.reason:
        return "not at all"
    if found.way == POOLED:
        return f"a pooled linear head, {found.size} px"
    size = "its own size" if found.size not in (SIZE, 48, 56, 64) else f"{found.size} px"
    return f"as it comes, {size}" if found.way == PLAIN else f"with `img_size`, {size}"


def coverage_page(contents: Measured) -> str:
    """Return COVERAGE.md."""
    return f"""# What of timm runs

timm {contents.timm}, torch {contents.torch}, on the meta device: each architecture is built for one
channel and ten classes and takes two images, in evaluation and in training mode. Written by
`coverage.py --write`.

{summary(contents)}

Tried in this order: 32 pixels, 64, 48, 56, the size timm made it for; at each as it comes, then
told `img_size`; at last with a linear layer on the mean of what an encoder answers.
`timm/NAME@SIZE` asks for another size. These are not built at 32 pixels with their own head:

{exceptions(contents)}
"""


def readme_with(readme: str, contents: Measured) -> str:
    """Return `readme` with the table between its marks made anew."""
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n\n{summary(contents)}\n\n{MARKS[1]}{after}"


def main() -> None:
    """Measure, then print or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write inputs.json and the tables")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at the same time")
    default = Path(gettempdir(), f"timm-{timm.__version__}-torch-{torch.__version__}.jsonl")
    parser.add_argument("--journal", type=Path, default=default, help="where answers are kept")
    arguments = parser.parse_args()
    contents = measure(arguments.journal, arguments.jobs)
    if not arguments.write:
        sys.stdout.write(coverage_page(contents))
        return
    write(contents)
    PAGE.write_text(coverage_page(contents), encoding="utf-8")
    README.write_text(readme_with(README.read_text(encoding="utf-8"), contents), encoding="utf-8")


if __name__ == "__main__":
    main()
