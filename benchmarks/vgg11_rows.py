"""How long the rows of VGG-11 on the published board of lite-v2 took as a whole.

    python benchmarks/vgg11_rows.py [--write]

Measures nothing: it reads the costs from the rows' records.
"""

from collections.abc import Sequence
from statistics import mean

import script
from fmbench.leaderboard.statistics import image_interval
from fmbench.leaderboard.stored_results import ModelResults, StoredResults
from fmbench.records import Record
from fmbench.store import Store
from fmbench.wording import counted, duration, memory, percent

MODELS = ("vgg11", "vgg11-bn")
HEADINGS = (
    "model", "accuracy, %", "n", "training of a run", "images/s trained", "images/s classified",
    "peak memory", "recipes tried", "the row's good runs",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = script.parser(__doc__).parse_args(arguments)
    entries = StoredResults(Store(script.PUBLISHED, "lite-v2")).entries
    shown = paragraphs([entry for entry in entries if entry.model in MODELS])
    script.finish("rows", *shown, page=script.VGG11 if options.write else None)
    return 0


def paragraphs(entries: Sequence[ModelResults]) -> list[str]:
    """The table of what the rows took, and where their runs were made.

    ± is half the width of the 95 % interval for new test images, as on the board.
    A row is its good final runs and the runs that tried its recipes, each as long as the runner's
    clock says, building and evaluation included; training is that of a final run alone.
    """
    places = {where(record) for entry in entries for record in (*entry.ok, *entry.tunes)}
    return [script.table(HEADINGS, [row(entry) for entry in entries]), "; ".join(sorted(places))]


def row(entry: ModelResults) -> list[str]:
    """The cells of one row."""
    costs = [record.cost for record in entry.ok]
    accuracy, images = mean(entry.accuracies), entry.ok[0].result.images
    low, high = image_interval(accuracy, images)
    tried = sum(record.cost.runner_seconds for record in entry.tunes)
    return [
        entry.model,
        f"{percent(accuracy)} ± {percent((high - low) / 2)}",
        f"{len(costs)} × {images:,}",
        script.spread([cost.train_seconds for cost in costs], duration),
        script.spread([cost.images_per_second for cost in costs], "{:,.0f}".format),
        script.spread([cost.inference_images_per_second for cost in costs], "{:,.0f}".format),
        memory(max(cost.peak_memory for cost in costs)),
        duration(tried),
        duration(tried + sum(cost.runner_seconds for cost in costs)),
    ]


def where(record: Record) -> str:
    """Protocol, device and torch of a run."""
    here = record.environment
    cores = counted(here.cores, "core")
    return (
        f"{record.run.protocol}, {here.device.name}, {cores}, threads used: {here.threads}, "
        f"torch {record.run.torch}."
    )


if __name__ == "__main__":
    script.run(main)
