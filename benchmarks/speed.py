"""What fmbench's loop costs, beside a plain torch loop and beside the bare steps.

    python benchmarks/speed.py [MODEL ...] [--write]

Each round lets every contender train the same model on as many images in turn; ratios are taken
within a round.
"""

from collections.abc import Iterator, Sequence

import contenders
import script
import workload
from workload import Workload

HEADINGS = ("model", "contender", "images/s", "time ÷ fmbench's")
IMAGES = {
    "softmax": None,  # all of them
    "vgg11": 1_024,
    "timm/resnet18": 2_560,
    "timm/mobilenetv3_small_100": 3_840,
}
OTHERWISE = 2_560


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models and print the table."""
    parser = script.training_parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(IMAGES))
    parser.add_argument("--recipe", help="the first that augments, or else the first")
    parser.add_argument("--images", type=int, help="images a round; some seconds' worth a model")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; 5")
    options = parser.parse_args(arguments)
    works = [
        workload.from_options(
            options,
            name,
            images=options.images or IMAGES.get(name, OTHERWISE),
            recipe=options.recipe,
        )
        for name in options.models or IMAGES
    ]
    where = script.begin(works[0].device, options.threads)
    rows = [row for work in works for row in measure(work, options.rounds)]
    rules, recipe = works[0].protocol, works[0].recipe
    what = f"{rules.id}, {recipe.name}; medians of {options.rounds} rounds."
    shown = script.table(HEADINGS, rows, words=2)
    script.finish("speed", what, shown, where, page=script.README if options.write else None)
    return 0


def measure(work: Workload, rounds: int) -> Iterator[list[str]]:
    """Rows of each contender's images a second and, round by round, its time over fmbench's."""
    turns = {name: (train, work) for name, train in contenders.CONTENDERS.items()}
    taken = contenders.take_turns(turns, rounds)
    for name, timings in taken.items():
        rates = [timing.images / timing.seconds for timing in timings]
        pairs = zip(timings, taken["fmbench"], strict=True)
        ratios = [timing.seconds / ours.seconds for timing, ours in pairs]
        yield [work.model.name, name, script.spread(rates, "{:,.0f}".format), script.spread(ratios)]


if __name__ == "__main__":
    script.run(main)
