"""How the time of `fmbench run` grows with images, epochs, models and seeds.

    python benchmarks/growth.py [--json FILE]

Runs the real command in a temporary folder at 1×, 2× and 4× of each, on softmax regression: no
other model spends so large a share outside training. The models of the third table part are one
network under several names, offered by a plugin that is made for the occasion.
"""

import shutil
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import command_line
import measurements
import short_protocol
import tables
from command_line import say
from fmbench_command import FmbenchCommand
from measurements import Growth, GrowthRow

from fmbench import data, hardware, protocol
from fmbench.protocol import Protocol

AXES = ("images", "epochs", "models", "seeds")
PLUGIN = """
import fmbench

@fmbench.hookimpl
def fmbench_models():
    return [fmbench.Model(f"growth-{number}", build) for number in range(1, 65)]

def build(spec):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(spec.size**2, spec.classes))
"""


@dataclass(frozen=True)
class Size:
    """How much a command has to do; models and seeds are counts, images are of one epoch."""

    images: int
    epochs: int
    models: int = 1
    seeds: int = 1

    def times(self, axis: str, factor: int) -> "Size":
        """The same with more of one thing."""
        return replace(self, **{axis: getattr(self, axis) * factor})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every size in every round and print the table."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--recipe", help="the protocol's first")
    parser.add_argument("--images", type=int, default=15_000, help="at 1×; 15,000")
    parser.add_argument("--epochs", type=int, default=40, help="at 1×; 40")
    parser.add_argument("--axis", action="append", choices=AXES, help="only this one; repeatable")
    parser.add_argument("--factors", type=int, nargs="+", default=[2, 4], help="beside 1; 2 4")
    parser.add_argument("--rounds", type=int, default=3, help="3")
    parser.add_argument("--warm-ups", type=int, default=1, help="shortest runs before them; 1")
    options = parser.parse_args(arguments)
    rules = protocol.load(options.protocol)
    data_dir = data.find(options.data_dir, digests=rules.data.sha256)
    device = hardware.find_device(options.device)
    occasion = command_line.begin(device, options.threads)
    base = Size(options.images, options.epochs)
    axes = options.axis or AXES
    sizes = {
        (axis, factor): base.times(axis, factor) for axis in axes for factor in options.factors
    }
    with tempfile.TemporaryDirectory() as folder:
        command = FmbenchCommand(Path(folder), data_dir, options.device, options.threads)
        install_plugin(command.site)
        measuring = Measuring(command, rules, options.recipe or rules.recipes[0].name)
        for _ in range(options.warm_ups):
            measuring.shortest()  # fills the caches of discovery and of the disk
        rounds = []
        for number in range(1, options.rounds + 1):
            say(f"round {number} of {options.rounds}")
            rounds.append(measuring.round(base, list(sizes.values())))
    measured = Growth(
        occasion=occasion,
        shortest=tuple(one.shortest for one in rounds),
        idle=tuple(one.idle for one in rounds),
        rows=tuple(
            GrowthRow(
                axis=axis,
                factor=factor,
                images=size.images,
                epochs=size.epochs,
                models=size.models,
                seeds=size.seeds,
                seconds=tuple(one.taken[size].seconds for one in rounds),
                train_seconds=tuple(one.taken[size].train_seconds for one in rounds),
            )
            for axis in axes
            for factor, size in [(1, base), *((n, sizes[axis, n]) for n in options.factors)]
        ),
    )
    if options.json:
        measurements.write(options.json, measured)
    print(tables.to_markdown(measured))
    return 0


def install_plugin(site: Path) -> None:
    """Put a plugin of many equal models on a path, with the metadata an installer writes."""
    info = site / "fmbench_growth-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "fmbench_growth.py").write_text(textwrap.dedent(PLUGIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fmbench-growth\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fmbench]\ngrowth = fmbench_growth\n")
    (info / "RECORD").write_text(f"fmbench_growth.py,,\n{info.name}/METADATA,,\n")


@dataclass(frozen=True)
class Taken:
    """Seconds a command took, and those of training alone over all its runs."""

    seconds: float
    train_seconds: float


@dataclass(frozen=True)
class Round:
    """What one round took: each size, and the two fixed costs, in seconds."""

    shortest: float
    idle: float
    taken: dict[Size, Taken]


@dataclass(frozen=True)
class Measuring:
    """Runs the command at one size after another."""

    command: FmbenchCommand
    protocol: Protocol
    recipe: str

    def round(self, base: Size, sizes: Sequence[Size]) -> Round:
        """Every size once, the fixed costs before them."""
        shortest = self.shortest()
        taken = {base: self.take(base, keep=True)}
        idle = self.take(base).seconds
        for size in sizes:
            taken[size] = self.take(size)
        return Round(shortest, idle, taken)

    def shortest(self) -> float:
        """Seconds of a command that trains one model for as few steps as the schedule allows."""
        warmup = self.protocol.training.warmup
        steps = int(1 / warmup) + 1 if warmup else 1
        return self.take(Size(steps * self.protocol.training.batch_size, 1)).seconds

    def take(self, size: Size, *, keep: bool = False) -> Taken:
        """Run the command at that size, into an empty results folder unless one was kept."""
        rules = short_protocol.shorten(
            self.protocol,
            recipe=self.recipe,
            images=size.images,
            epochs=size.epochs,
            seeds=size.seeds,
        )
        path = short_protocol.write(rules, self.command.folder / "growth.toml")
        models = [f"growth-{number}" for number in range(1, size.models + 1)]
        seconds = self.command.run("results", path, *models)
        trained = sum(record.cost.train_seconds for record in self.command.records("results"))
        if not keep:
            shutil.rmtree(self.command.folder / "results")
        say(f"{size}: {seconds:.2f} s, of which training {trained:.2f} s")
        return Taken(seconds, trained)


if __name__ == "__main__":
    command_line.run(main)
