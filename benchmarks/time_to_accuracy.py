"""Training time until a model first reaches a target accuracy on the test images.

    python benchmarks/time_to_accuracy.py MODEL --target 0.84 [--json FILE]

The rule: fmbench's own loop trains by one recipe of a protocol, its schedule planned for
--max-epochs. After each epoch, with the clock stopped, all test images are classified. Training
ends after the first epoch whose test accuracy is at least the target. The time is that of training
alone, evaluation left out.

This looks at test labels after every epoch and stops at the best moment, so what it finds says
nothing about accuracy on new images. It is a measure of speed, and never feeds a leaderboard.
"""

from collections.abc import Sequence

import command_line
import contenders
import measurements
import networks
import numpy as np
import tables
import torch
from command_line import say
from measurements import Epoch, TimeToAccuracy
from numpy.typing import NDArray
from workload import Workload, choose_recipe

from fmbench import data, hardware, protocol
from fmbench.training import devices, loop
from fmbench.training.batches import Images

WARNING = "test labels are looked at after every epoch: this never feeds a leaderboard"


class TargetReachedError(Exception):
    """The target is reached: raised from the loop's report, the way out of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train until the target or the last epoch; 1 when the target was not reached."""
    parser = command_line.parser(__doc__)
    parser.add_argument("model", help="any installed model, or cnn")
    parser.add_argument("--target", type=float, required=True, help="test accuracy, 0 to 1")
    parser.add_argument("--recipe", help="the protocol's first")
    parser.add_argument("--seed", type=int, default=1, help="1")
    parser.add_argument("--max-epochs", type=int, default=20, help="epochs of the schedule; 20")
    options = parser.parse_args(arguments)
    rules = protocol.load(options.protocol)
    recipe = choose_recipe(rules, options.recipe or rules.recipes[0].name, augmented=False)
    dataset = data.load(data.find(options.data_dir, digests=rules.data.sha256), rules.data.sha256)
    device = hardware.find_device(options.device)
    workload = Workload(
        model=networks.find(options.model),
        protocol=rules,
        recipe=recipe,
        pixels=dataset.train_images.copy(),  # torch wants arrays that can be written to
        labels=dataset.train_labels.copy(),
        device=device,
        threads=options.threads,
        epochs=options.max_epochs,
        seed=options.seed,
    )
    say(WARNING)
    found = TimeToAccuracy(
        occasion=command_line.begin(device, options.threads),
        model=workload.model.name,
        protocol=rules.id,
        recipe=recipe.name,
        seed=options.seed,
        target=options.target,
        max_epochs=options.max_epochs,
        epochs=train(workload, dataset.test_images.copy(), dataset.test_labels, options.target),
    )
    if options.json:
        measurements.write(options.json, found)
    print(tables.to_markdown(found))
    return int(not found.reached)


def train(
    workload: Workload,
    test_pixels: NDArray[np.uint8],
    test_labels: NDArray[np.uint8],
    target: float,
) -> tuple[Epoch, ...]:
    """Train by fmbench's loop until the target is reached; what each epoch took and brought.

    test_pixels: uint8 (m, 28, 28); test_labels: uint8 (m,). target: test accuracy, 0 to 1.
    """
    device = contenders.prepare(workload)
    network = contenders.build(workload, device)
    asked = Images(
        torch.from_numpy(test_pixels),
        size=workload.model.size,
        rules=workload.protocol.data,
        device=device,
        memory_format=devices.memory_format(workload.rules),
    )
    epochs: list[Epoch] = []

    def report(epoch: int, step: int, steps: int, loss: float, rate: float) -> None:
        """Test at the end of an epoch: the loop tells it outside its clock, and reseeds after."""
        if step < steps:
            return
        logits, _ = loop.predict(network, asked, protocol=workload.protocol, device=device)
        network.train()
        accuracy = float((logits.argmax(1).numpy() == test_labels).mean())
        seconds = steps * workload.batch_size / rate
        epochs.append(Epoch(seconds=seconds, loss=loss, accuracy=accuracy))
        say(f"epoch {epoch}: {seconds:.2f} s, loss {loss:.4f}, test accuracy {accuracy:.4f}")
        if accuracy >= target:
            raise TargetReachedError

    try:
        loop.train(
            network,
            contenders.resident_images(workload, device),
            torch.from_numpy(workload.labels).to(device, torch.int64),
            protocol=workload.protocol,
            stage=workload.stage,
            recipe=workload.recipe,
            seed=workload.seed,
            report=report,
        )
    except (TargetReachedError, loop.DivergedError) as end:
        say(str(end) or "the target is reached")
    return tuple(epochs)


if __name__ == "__main__":
    command_line.run(main)
