"""Costs: what the rows of a published board took, from their records."""

from collections.abc import Sequence
from statistics import mean

import tables

from fmbench.leaderboard.evidence import Entry
from fmbench.leaderboard.statistics import image_interval
from fmbench.wording import duration, memory, percent

HEADINGS = (
    "model", "accuracy, %", "n", "training of a run", "images/s trained", "images/s classified",
    "peak memory", "recipes tried", "the row's good runs",
)  # fmt: skip


def to_markdown(entries: Sequence[Entry]) -> str:
    """What the rows took, and where; empty when no run of theirs was good.

    ± is half the width of the 95 % interval for new test images, as on the board.
    A row is its good final runs and the runs that tried its recipes, each as long as the runner's
    clock says, building and evaluation included; training is that of a final run alone.
    """
    rows = [_row(entry) for entry in entries if entry.ok]
    if not rows:
        return ""
    places = sorted({where for entry in entries for where in _places(entry)})
    return f"{tables.table(HEADINGS, rows, left=1)}\n\n{'; '.join(places)}.\n"


def _row(entry: Entry) -> list[str]:
    costs = [record.cost for record in entry.ok]
    accuracy, images = mean(entry.accuracies), entry.ok[0].result.images
    low, high = image_interval(accuracy, images)
    tried = sum(record.cost.runner_seconds for record in entry.tunes)
    return [
        entry.model,
        f"{percent(accuracy)} ± {percent((high - low) / 2)}",
        f"{len(costs)} × {images:,}",
        tables.spread_of([cost.train_seconds for cost in costs], duration),
        tables.spread([cost.images_per_second for cost in costs], 0),
        tables.spread([cost.inference_images_per_second for cost in costs], 0),
        memory(max(cost.peak_memory for cost in costs)),
        duration(tried),
        duration(tried + sum(cost.runner_seconds for cost in costs)),
    ]


def _places(entry: Entry) -> set[str]:
    return {
        f"{record.run.protocol}, {record.environment.device.name}, {record.environment.cores} "
        f"cores, threads used: {record.environment.threads}, torch {record.run.torch}"
        for record in (*entry.ok, *entry.tunes)
    }
