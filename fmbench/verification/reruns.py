"""Runs of a store trained again: which ones, and how each came out."""

import random
import secrets
from collections.abc import Callable, Sequence

import msgspec

from fmbench.errors import FmbenchError
from fmbench.execution.reproduction import Reproduction
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.store import Store
from fmbench.verification.findings import Finding, Level, Verdict, VerdictOfRun


def draw(
    verdicts: Sequence[Verdict], wanted: int | None, seed: int
) -> list[tuple[Verdict, VerdictOfRun]]:
    """The runs to make again: `wanted` of them, drawn with a seed, or all without a number.

    They are drawn from the good final runs of which nothing is false, in the order of their names.
    """
    candidates = [
        (verdict, run)
        for verdict in verdicts
        for run in verdict.runs
        if run.tier and run.stage == "final" and run.status == "ok"
    ]
    if wanted is None or wanted >= len(candidates):
        return candidates
    chosen = random.Random(seed).sample(range(len(candidates)), wanted)
    return [candidates[place] for place in sorted(chosen)]


def new_seed() -> int:
    """A seed for a draw, short enough to be typed."""
    return secrets.randbelow(1_000_000)


def make_again(
    verdict: Verdict,
    run: VerdictOfRun,
    make: Callable[[Record, Store, Protocol], Reproduction],
) -> Reproduction | None:
    """Have one run trained again, and put what came of it into the verdict.

    A run that could not be made again, its plugin is not installed say, is left as it was; a
    finding says so, and None is returned.
    """
    store = verdict.store

    def say(level: Level, what: str) -> None:
        verdict.findings.append(Finding(level, "made again", run.stem, what))

    try:
        record = store.read_record(store.records / f"{run.stem}.json")
        found = make(record, store, store.protocol_of([record]))
    except (FmbenchError, ValueError) as error:
        what = error.what if isinstance(error, FmbenchError) else str(error)
        say("unchecked", f"it could not be made again: {what}")
        return None
    changed = f", with {'; '.join(found.changes)}" if found.changes else ""
    place = verdict.runs.index(run)
    if found.conclusion == "not alike":
        now = found.now.result
        then = f"{found.then.result.correct:,} right"
        came_out = f"{now.correct:,} right" if now.correct is not None else now.status
        say("false", f"recorded {then}, made again {came_out}{changed}")
        verdict.runs[place] = msgspec.structs.replace(run, tier=None, came_out="not alike")
    elif found.conclusion == "no conclusion":
        say("unchecked", f"other bits, and nothing tells how far seeds lie apart{changed}")
    else:
        verdict.runs[place] = msgspec.structs.replace(
            run, tier="re-run", came_out=f"{found.conclusion}{changed}"
        )
    return found
