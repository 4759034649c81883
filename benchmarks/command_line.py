"""The command lines of the scripts: the options they share, and how an error ends one."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import measurements
from measurements import Occasion

from fmbench import environment, limits
from fmbench.errors import FmbenchError
from fmbench.hardware import Device


def parser(description: str | None, *, protocol: str = "lite-v1") -> argparse.ArgumentParser:
    """A parser with --protocol, --device, --threads, --data-dir and --json."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--protocol", default=protocol, help=f"name or .toml file; {protocol}")
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:INDEX; cpu")
    made.add_argument("--threads", type=int, default=limits.cores(), help="CPU threads; all cores")
    made.add_argument("--data-dir", type=Path, help="folder of the four files; they are found")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write what was measured")
    return made


def say(sentence: str) -> None:
    """Talk: a line on stderr, at once. What was measured goes to stdout."""
    print(sentence, file=sys.stderr, flush=True)


def begin(device: Device, threads: int) -> Occasion:
    """Note when and where; warn when other programs use this machine: times are doubtful then."""
    occasion = measurements.occasion(device, threads)
    if occasion.busy > environment.BUSY:
        say("other programs keep this machine busy: times measured now mean little")
    return occasion


def run(main: Callable[[Sequence[str] | None], int]) -> None:
    """Run a script's `main` and exit with its status; what a person can mend is one message."""
    try:
        sys.exit(main(None))
    except FmbenchError as error:
        say(str(error))
        sys.exit(error.exit_code)
