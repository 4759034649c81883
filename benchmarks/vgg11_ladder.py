"""How much faster each step from a plain loop to fmbench's makes VGG-11.

    python benchmarks/vgg11_ladder.py [--write]

Each rung trains VGG-11 and differs from the one before it in what it says:

1. torchvision's VGG-11 on images resized to 224 px, the size of its paper, in float32, with a
   DataLoader and a plain loop; in batches of 32, because larger ones take minutes a step;
2. on images padded to 32 px, the least it can take, in the protocol's batches;
3. in fmbench's loop: images resident as bytes, weights and images channels last;
4. with the first linear layer folded, fmbench-vgg's network: the same function, fewer products;
5. in bfloat16.

Rungs take turns; a rung's speed is that of whole steps, loading and update included.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

import msgspec
from torch import nn

import contenders
import script
import workload
from contenders import Contender, Timing
from fmbench import protocol
from fmbench.contract import InputSpec
from fmbench.wording import duration
from workload import Workload

HEADINGS = ("", "batch", "images/s", "times the one above", "an epoch of 60,000")
PAPERS_SIZE, PAPERS_BATCH = 224, 32
STEPS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rungs in turn and print their table."""
    parser = script.training_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count; 3")
    options = parser.parse_args(arguments)
    images = STEPS * protocol.load(options.protocol).training.batch_size
    rungs = climb(workload.from_options(options, "vgg11", images=images, recipe=None))
    where = script.begin(rungs["bfloat16"][1].device, options.threads)
    taken = contenders.take_turns(rungs, options.rounds)
    shown = script.table(HEADINGS, list(rows(rungs, taken)))
    medians = f"Medians of {options.rounds} rounds, with the smallest and the largest."
    script.finish("ladder", shown, medians, where, page=script.VGG11 if options.write else None)
    return 0


def climb(top: Workload) -> dict[str, tuple[Contender, Workload]]:
    """The rungs by name, lowest first; `top` is the last one's workload."""
    plain, reduced = at_precision(top, "float32"), at_precision(top, "bfloat16")
    peer = contenders.CONTENDERS["torchvision, 0 workers"]
    ours = contenders.CONTENDERS["fmbench"]

    def build(_: InputSpec) -> nn.Module:
        return contenders.build_plain(top.model)

    torchvisions = replace(top.model, name="torchvision", build=build)
    return {
        "torchvision, 224 px": (peer, at_papers_size(plain)),
        "torchvision, 32 px": (peer, plain),
        "fmbench's loop": (ours, replace(plain, model=torchvisions)),
        "first linear layer folded": (ours, plain),
        "bfloat16": (ours, reduced),
    }


def at_papers_size(work: Workload) -> Workload:
    """The workload at 224 px, one step of a small batch for each of its steps."""
    training = msgspec.structs.replace(work.protocol.training, batch_size=PAPERS_BATCH)
    images = work.steps * PAPERS_BATCH
    return replace(
        work,
        model=replace(work.model, size=PAPERS_SIZE),
        protocol=msgspec.structs.replace(work.protocol, training=training),
        pixels=work.pixels[:images],
        labels=work.labels[:images],
    )


def at_precision(work: Workload, precision: str) -> Workload:
    """The workload in that precision."""
    rules = msgspec.structs.replace(work.rules, precision=precision)
    devices = {work.device.kind: rules}
    return replace(work, protocol=msgspec.structs.replace(work.protocol, devices=devices))


def rows(
    rungs: Mapping[str, tuple[Contender, Workload]], taken: Mapping[str, list[Timing]]
) -> Iterator[list[str]]:
    """Images a second of each rung, what it gained on the one above it, and an epoch's time."""
    below: list[float] = []
    for name, timings in taken.items():
        rates = [timing.images / timing.seconds for timing in timings]
        gains = [rate / lower for rate, lower in zip(rates, below, strict=False)]
        yield [
            name,
            str(rungs[name][1].batch_size),
            script.spread(rates, "{:,.1f}".format),
            script.spread(gains) if gains else "",
            duration(60_000 / median(rates)),
        ]
        below = rates


if __name__ == "__main__":
    script.run(main)
