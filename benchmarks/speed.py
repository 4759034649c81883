"""How fast fmbench trains, as ratios to what a user would write and to the floor.

    python benchmarks/speed.py [MODEL ...] [--json FILE]

Each round lets every contender train the same model on as many images in turn; ratios are taken
within a round. `cnn` is a network with two convolutions; any other name is an installed model's.
"""

import traceback
from collections.abc import Sequence
from functools import partial

import command_line
import contenders
import measurements
import networks
import tables
import torch
from command_line import say
from measurements import Contended, Speed, SpeedRow
from timing import take_turns
from workload import Workload, choose_recipe, training_images

from fmbench import hardware, protocol
from fmbench.errors import FmbenchError

IMAGES = {
    "softmax": None,  # all of them
    "cnn": 7_680,
    "vgg11": 768,
    "timm/resnet18": 2_560,
    "timm/mobilenetv3_small_100": 3_840,
}
OTHERWISE = 2_560


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models, print the tables; 1 when a model could not be measured."""
    parser = command_line.parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(IMAGES))
    parser.add_argument("--recipe", help="the first that augments; for softmax that does not")
    parser.add_argument("--images", type=int, help="images a round; some seconds' worth a model")
    parser.add_argument("--epochs", type=int, default=1, help="epochs a round; 1")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; 5")
    parser.add_argument(
        "--contender", action="append", metavar="NAME", help="only this one and others so named"
    )
    parser.add_argument(
        "--peers-channels-last", action="store_true", help="not torch's default memory format"
    )
    options = parser.parse_args(arguments)
    rules = protocol.load(options.protocol)
    device = hardware.find_device(options.device)
    competing = contenders.choose(
        options.contender or (),
        memory_format=torch.channels_last
        if options.peers_channels_last
        else torch.contiguous_format,
    )
    occasion = command_line.begin(device, options.threads)
    rows: list[SpeedRow] = []
    failed = False
    for name in options.models or IMAGES:
        try:
            count = options.images or IMAGES.get(name, OTHERWISE)
            pixels, labels = training_images(rules, count, options.data_dir)
            workload = Workload(
                model=networks.find(name),
                protocol=rules,
                recipe=choose_recipe(rules, options.recipe, augmented=name != "softmax"),
                pixels=pixels,
                labels=labels,
                device=device,
                threads=options.threads,
                epochs=options.epochs,
            )
            rows.append(measure(workload, competing, options.rounds))
        except Exception as error:  # the other models are measured all the same
            if isinstance(error, FmbenchError):
                say(f"{name}: {error}")
            else:
                traceback.print_exc()
            failed = True
            continue
        measured = Speed(occasion=occasion, rows=tuple(rows))
        if options.json:
            measurements.write(options.json, measured)
    print(tables.to_markdown(Speed(occasion=occasion, rows=tuple(rows))))
    return int(failed)


def measure(
    workload: Workload, competing: dict[str, contenders.Contender], rounds: int
) -> SpeedRow:
    """Let each contender warm up on a few steps, then let them take turns."""
    model = workload.model.name
    say(f"{model}: warming up, then {rounds} rounds of {workload.images:,} images each")
    short = workload.warm_up()
    take_turns({name: partial(train, short) for name, train in competing.items()}, 1)
    turns = {name: partial(train, workload) for name, train in competing.items()}
    timings = take_turns(turns, rounds, lambda line: say(f"{model}, {line}"))
    return SpeedRow(
        model=model,
        protocol=workload.protocol.id,
        recipe=workload.recipe.name,
        images=workload.images,
        steps=workload.steps,
        contended=tuple(
            Contended(
                contender=name,
                seconds=tuple(timing.seconds for timing in taken),
                loss=taken[-1].loss,
            )
            for name, taken in timings.items()
        ),
    )


if __name__ == "__main__":
    command_line.run(main)
