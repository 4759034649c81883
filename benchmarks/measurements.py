"""Measurements: what each script leaves in a JSON file, raw enough to compute its tables from."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from fmbench import environment, files
from fmbench.environment import Environment
from fmbench.execution.timings import Part, overhead
from fmbench.hardware import Device

FMBENCH, FLOOR = "fmbench", "floor"
PEERS = ("torchvision, 0 workers", "torchvision, 2 workers")
LIGHTNING = ("Lightning, 0 workers", "Lightning, 2 workers")
LIBRARIES = ("torch", "torchvision", "lightning", "timm", "numpy")


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Occasion(_Part, frozen=True, kw_only=True):
    """When and where something was measured.

    made: the day, in UTC. busy: share of all cores, 0 to 1, that other programs used just before.
    """

    made: str
    environment: Environment
    busy: float


class Contended(_Part, frozen=True, kw_only=True):
    """Seconds of training alone that a contender took in each round, and its last mean loss."""

    contender: str
    seconds: tuple[float, ...]
    loss: float


class SpeedRow(_Part, frozen=True, kw_only=True):
    """One model's contenders, who took turns. `images` and `steps` are of a round."""

    model: str
    protocol: str
    recipe: str
    images: int
    steps: int
    contended: tuple[Contended, ...]


class Speed(_Part, frozen=True, kw_only=True, tag_field="kind", tag="speed"):
    """What speed.py measured."""

    occasion: Occasion
    rows: tuple[SpeedRow, ...]


class GrowthRow(_Part, frozen=True, kw_only=True):
    """One size of `fmbench run`, and what it took in each round.

    seconds:       from the command's start to its end.
    train_seconds: training alone, summed over the runs, by the workers' clocks.
    """

    axis: str
    factor: int
    images: int
    epochs: int
    models: int
    seeds: int
    seconds: tuple[float, ...]
    train_seconds: tuple[float, ...]


class Growth(_Part, frozen=True, kw_only=True, tag_field="kind", tag="growth"):
    """What growth.py measured, and in each round the two fixed costs that ratios are net of.

    shortest: seconds of the shortest run there is: command, worker, one evaluation.
    idle:     seconds of a command with nothing left to run.
    """

    occasion: Occasion
    shortest: tuple[float, ...]
    idle: tuple[float, ...]
    rows: tuple[GrowthRow, ...]


class MemoryRow(_Part, frozen=True, kw_only=True):
    """Peak resident memory, in bytes, of a worker and of the bare process, each round."""

    model: str
    protocol: str
    worker: tuple[int, ...]
    bare: tuple[int, ...]


class Memory(_Part, frozen=True, kw_only=True, tag_field="kind", tag="memory"):
    """What memory.py measured. `checkpoints`: whether workers wrote one each epoch."""

    occasion: Occasion
    checkpoints: bool
    rows: tuple[MemoryRow, ...]


class Epoch(_Part, frozen=True, kw_only=True):
    """Seconds of one epoch's training, its mean loss, and the test accuracy after it, 0 to 1."""

    seconds: float
    loss: float
    accuracy: float


class TimeToAccuracy(_Part, frozen=True, kw_only=True, tag_field="kind", tag="time-to-accuracy"):
    """What time_to_accuracy.py measured: epochs up to the first that reached the target."""

    occasion: Occasion
    model: str
    protocol: str
    recipe: str
    seed: int
    target: float
    max_epochs: int
    epochs: tuple[Epoch, ...]

    @property
    def reached(self) -> bool:
        """Whether the last epoch has reached the target."""
        return bool(self.epochs) and self.epochs[-1].accuracy >= self.target

    @property
    def seconds(self) -> float:
        """Training alone, up to the end of the last epoch."""
        return sum(epoch.seconds for epoch in self.epochs)


class Rung(_Part, frozen=True, kw_only=True):
    """One way to train, and the seconds each round took it for so many images."""

    name: str
    batch_size: int
    images: int
    seconds: tuple[float, ...]


class Ladder(_Part, frozen=True, kw_only=True, tag_field="kind", tag="ladder"):
    """What ladder.py measured: each rung has what the ones below it have."""

    occasion: Occasion
    protocol: str
    rungs: tuple[Rung, ...]


class Reading(_Part, frozen=True, kw_only=True):
    """Seconds of reading records and of tabulating them, peak memory in bytes, rows that came."""

    read_seconds: float
    tabulate_seconds: float
    peak_memory: int
    models: int


class BoardsRow(_Part, frozen=True, kw_only=True):
    """So many records, read in a process that computed the ranks and in one that had them."""

    records: int
    computed: Reading
    cached: Reading


class Boards(_Part, frozen=True, kw_only=True, tag_field="kind", tag="boards"):
    """What boards.py measured."""

    occasion: Occasion
    rows: tuple[BoardsRow, ...]


class Overhead(_Part, frozen=True, kw_only=True, tag_field="kind", tag="overhead"):
    """What overhead.py measured: seconds of each part of a command's wall time."""

    occasion: Occasion
    protocol: str
    models: tuple[str, ...]
    runs: int
    seconds: dict[Part, float]

    @property
    def share(self) -> float:
        """What neither trains nor evaluates, as a share of all wall time, 0 to 1."""
        return overhead(self.seconds)


Measurement = Speed | Growth | Memory | TimeToAccuracy | Ladder | Boards | Overhead


def occasion(device: Device, threads: int) -> Occasion:
    """Now, on this machine, with the versions of what takes part."""
    here = environment.describe(device, threads)
    versions = {name: environment.version(name) for name in LIBRARIES}
    return Occasion(
        made=datetime.now(UTC).strftime("%Y-%m-%d"),
        environment=msgspec.structs.replace(
            here, libraries={name: version for name, version in versions.items() if version}
        ),
        busy=round(environment.busy_share(), 3),
    )


def write(path: Path, measurement: Measurement) -> None:
    """Place a measurement as indented JSON, whole or not at all."""
    content = msgspec.json.format(msgspec.json.encode(measurement), indent=1) + b"\n"
    files.write(files.make_folder(path.parent) / path.name, content)


def read(path: Path) -> Measurement:
    """What a script wrote; raises `msgspec.ValidationError` when it is something else."""
    measurement: Measurement = msgspec.json.decode(path.read_bytes(), type=Measurement)
    return measurement
