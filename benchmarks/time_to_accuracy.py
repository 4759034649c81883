"""How long a model trains until it first reaches an accuracy on the test images.

    python benchmarks/time_to_accuracy.py [MODEL] [--target 0.91] [--write]

fmbench's own loop trains by one recipe of a protocol, its schedule planned for --max-epochs. After
each epoch, with the clock stopped, all test images are classified. Training ends after the first
epoch whose test accuracy is at least the target. The time is that of training alone, evaluation
left out.

This looks at test labels after every epoch and stops at the best moment, so what it finds says
nothing about accuracy on new images. It is a measure of speed, and never feeds a leaderboard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray

import contenders
import script
import workload
from fmbench.training import devices, loop
from fmbench.training.batches import Images
from fmbench.wording import duration
from script import say
from workload import Workload

HEADINGS = ("epoch", "training, s", "loss", "test accuracy, %")
WARNING = "test labels are looked at after every epoch: this never feeds a leaderboard"


@dataclass(frozen=True)
class Epoch:
    """Seconds of one epoch's training, its mean loss, and the test accuracy after it, 0 to 1."""

    seconds: float
    loss: float
    accuracy: float


class TargetReachedError(Exception):
    """The target is reached: raised from the loop's report, the way out of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train until the target or the last epoch; 1 when the target was not reached."""
    parser = script.training_parser(__doc__)
    parser.add_argument("model", nargs="?", default="vgg11", help="any installed model; vgg11")
    parser.add_argument("--target", type=float, default=0.91, help="test accuracy, 0 to 1; 0.91")
    parser.add_argument("--recipe", help="the first that augments, or else the first")
    parser.add_argument("--max-epochs", type=int, default=5, help="epochs of the schedule; 5")
    options = parser.parse_args(arguments)
    work = workload.from_options(options, options.model, images=None, recipe=options.recipe)
    work = replace(work, epochs=options.max_epochs)
    dataset = workload.load_data(options, work.protocol)
    say(WARNING)
    where = script.begin(work.device, options.threads)
    epochs = train(work, dataset.test_images.copy(), dataset.test_labels, options.target)
    took = duration(sum(epoch.seconds for epoch in epochs))
    reached = bool(epochs) and epochs[-1].accuracy >= options.target
    what = f"{work.model.name}, {work.protocol.id}, {work.recipe.name}, seed {work.seed}: "
    what += f"{100 * options.target:.2f} % test accuracy "
    what += (
        f"or more after {took} of training, {len(epochs)} epochs of a schedule of {work.epochs}."
        if reached
        else f"was not reached in {work.epochs} epochs, {took}."
    )
    shown = script.table(HEADINGS, list(rows(epochs)), words=0)
    page = script.VGG11 if options.write else None
    script.finish("time to accuracy", what, shown, where, page=page)
    return int(not reached)


def train(
    work: Workload, test_pixels: NDArray[np.uint8], test_labels: NDArray[np.uint8], target: float
) -> list[Epoch]:
    """Train by fmbench's loop until the target is reached; what each epoch took and brought.

    test_pixels: uint8 (m, 28, 28); test_labels: uint8 (m,). target: test accuracy, 0 to 1.
    """
    device = contenders.prepare(work)
    network = contenders.build(work, device)
    test_images = Images(
        torch.from_numpy(test_pixels),
        size=work.model.size,
        rules=work.protocol.data,
        device=device,
        memory_format=devices.memory_format(work.rules),
    )
    epochs: list[Epoch] = []

    def report(epoch: int, step: int, steps: int, loss: float, rate: float) -> None:
        """Test at the end of an epoch: the loop tells it outside its clock, and reseeds after."""
        if step < steps:
            return
        logits, _ = loop.predict(network, test_images, protocol=work.protocol, device=device)
        network.train()
        accuracy = float((logits.argmax(1).numpy() == test_labels).mean())
        seconds = steps * work.batch_size / rate
        epochs.append(Epoch(seconds, loss, accuracy))
        say(f"epoch {epoch}: {seconds:.2f} s, loss {loss:.4f}, test accuracy {accuracy:.4f}")
        if accuracy >= target:
            raise TargetReachedError

    try:
        loop.train(
            network,
            contenders.resident_images(work, device),
            torch.from_numpy(work.labels).to(device, torch.int64),
            protocol=work.protocol,
            stage=work.stage,
            recipe=work.recipe,
            seed=work.seed,
            report=report,
        )
    except (TargetReachedError, loop.DivergedError) as end:
        say(str(end) or "the target is reached")
    return epochs


def rows(epochs: Sequence[Epoch]) -> Iterator[list[str]]:
    """Each epoch's end on the clock, its loss, and the test accuracy after it."""
    ends = accumulate(epoch.seconds for epoch in epochs)
    for number, (end, epoch) in enumerate(zip(ends, epochs, strict=True), start=1):
        yield [str(number), f"{end:.2f}", f"{epoch.loss:.4f}", f"{100 * epoch.accuracy:.2f}"]


if __name__ == "__main__":
    script.run(main)
