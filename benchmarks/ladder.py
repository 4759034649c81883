"""What each step of speed work gave VGG-11: from what a user would write to what fmbench does.

    python benchmarks/ladder.py [--json FILE]

Each rung trains VGG-11 and differs from the one before it in what it says:

1. torchvision's VGG-11 on images resized to 224 px, the size of its paper, in float32, with a
   DataLoader and a plain loop; in batches of 32, because larger ones take minutes a step;
2. on images padded to 32 px, the least it can take, in the protocol's batches;
3. in fmbench's loop: images resident as bytes, weights and images channels last;
4. with the first linear layer folded, fmbench-vgg's network: the same function, fewer products;
5. in bfloat16.

Rungs take turns; a rung's speed is that of whole steps, loading and update included.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import command_line
import contenders
import measurements
import msgspec
import networks
import tables
from command_line import say
from measurements import Ladder, Rung
from timing import Timing, take_turns
from workload import Workload, choose_recipe, training_images

from fmbench import hardware, protocol
from fmbench.contract import InputSpec, Model

PAPERS_SIZE, PAPERS_BATCH = 224, 32
STEPS = 4


@dataclass(frozen=True)
class Step:
    """A rung before it is measured: what it is called, what it trains, and how."""

    name: str
    workload: Workload
    train: Callable[[Workload], Timing]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rungs in turn and print their table."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count; 3")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps a rung a round; {STEPS}")
    options = parser.parse_args(arguments)
    rules = protocol.load(options.protocol)
    device = hardware.find_device(options.device)
    occasion = command_line.begin(device, options.threads)
    pixels, labels = training_images(
        rules, options.steps * rules.training.batch_size, options.data_dir
    )
    steps = climb(
        Workload(
            model=networks.find("vgg11"),
            protocol=rules,
            recipe=choose_recipe(rules, None, augmented=True),
            pixels=pixels,
            labels=labels,
            device=device,
            threads=options.threads,
        )
    )
    turns = {step.name: partial(step.train, step.workload) for step in steps}
    say("warming up")
    take_turns({step.name: partial(step.train, warm(step.workload)) for step in steps}, 1)
    taken = take_turns(turns, options.rounds, say)
    found = Ladder(
        occasion=occasion,
        protocol=rules.id,
        rungs=tuple(
            Rung(
                name=step.name,
                batch_size=step.workload.batch_size,
                images=step.workload.images,
                seconds=tuple(timing.seconds for timing in taken[step.name]),
            )
            for step in steps
        ),
    )
    if options.json:
        measurements.write(options.json, found)
    print(tables.to_markdown(found))
    return 0


def climb(top: Workload) -> list[Step]:
    """The rungs, lowest first; `top` is the last one's workload."""
    plain = at_precision(top, "float32")
    peer = partial(contenders.train_with_torchvision, workers=0)
    ours = contenders.train_with_fmbench
    return [
        Step("torchvision, 224 px", at_papers_size(plain), peer),
        Step("torchvision, 32 px", plain, peer),
        Step("fmbench's loop", replace(plain, model=torchvisions(top.model)), ours),
        Step("first linear layer folded", plain, ours),
        Step("bfloat16", at_precision(top, "bfloat16"), ours),
    ]


def at_papers_size(workload: Workload) -> Workload:
    """The workload at 224 px, one step of a small batch for each of its steps."""
    training = msgspec.structs.replace(workload.protocol.training, batch_size=PAPERS_BATCH)
    images = workload.steps * PAPERS_BATCH
    return replace(
        workload,
        model=replace(workload.model, size=PAPERS_SIZE),
        protocol=msgspec.structs.replace(workload.protocol, training=training),
        pixels=workload.pixels[:images],
        labels=workload.labels[:images],
    )


def torchvisions(model: Model) -> Model:
    """The network a user would train for this model, as a plugin would offer it."""

    def build(_: InputSpec) -> object:
        return networks.build_plain(model)

    return replace(model, name="torchvision", build=build)  # type: ignore[arg-type]


def at_precision(workload: Workload, precision: str) -> Workload:
    """The workload in that precision."""
    rules = msgspec.structs.replace(workload.rules, precision=precision)
    devices = {workload.device.kind: rules}
    return replace(workload, protocol=msgspec.structs.replace(workload.protocol, devices=devices))


def warm(workload: Workload) -> Workload:
    """The least that the schedule allows; of the slowest rung all, which is hardly more."""
    return workload.warm_up() if workload.model.size < PAPERS_SIZE else workload


if __name__ == "__main__":
    command_line.run(main)
