"""How long the runs still pending will take, as far as speeds on record or just measured tell."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from fmbench.data import FASHION_MNIST
from fmbench.execution.plan import Pending, Setting, train_steps
from fmbench.hookspecs import hookimpl
from fmbench.protocol import TEST_IMAGES, TRAINING_IMAGES, StageName
from fmbench.records import Progress, Record, Run
from fmbench.wording import counted

SECONDS_TO_START_A_JOB = 6.0
FORWARD_SPEEDUP = 3.0
"""How much faster inference is than training, where only training has been measured: a backward
pass costs about two forward passes."""

UNKNOWN_MEMORY = 2e9
"""Bytes that a worker is taken to need of whose model no peak is on record."""


@dataclass(frozen=True)
class Speed:
    """Images per second of a model, and how they were measured."""

    training: float = 0.0
    inference: float = 0.0
    protocol: str = ""
    threads: int = 0


class Estimate:
    """Seconds of work left, and memory. An ordinary observer: each report of a speed sharpens it.

    Nothing is said of a model that neither this store nor the published records know on such a
    device, until it has trained for a second; nor of a data set whose images nobody has counted.

    own:       records of the store; those of this device say how fast it is.
    published: records whose speeds stand in for models that have not been trained here, scaled by
               how this machine compares with theirs on the models that have.
    workers:   how many make runs side by side; set anew once an engine knows.
    sizes:     training and test images of the data set, set once it is loaded; Fashion-MNIST's
               are known, those of another data set are None until then.
    """

    def __init__(
        self,
        pending: Iterable[Pending],
        setting: Setting,
        *,
        own: Iterable[Record],
        published: Iterable[Record],
        workers: int = 1,
    ) -> None:
        self.workers = workers
        self._protocol = setting.protocol
        official = setting.protocol.data.sha256 == FASHION_MNIST
        self.sizes = (TRAINING_IMAGES, TEST_IMAGES) if official else None
        self.plan(pending)
        alike = [one for one in published if one.run.device_kind == setting.device.kind]
        here = [one for one in own if one.environment.device.is_a(setting.device)]
        self._published = _speeds(alike, setting)
        self._here = _speeds(here, setting)
        self._on_host = setting.device.kind == "cpu"  # elsewhere a record has the device's peak
        self._threads = setting.threads
        self._memory = _peaks([*alike, *here], setting) if self._on_host else {}
        self._measured = {model: speed.training for model, speed in self._here.items()}
        self._under_way: dict[str, Progress] = {}

    def plan(self, pending: Iterable[Pending]) -> None:
        """Take these as the runs that are left."""
        left: Counter[tuple[str, StageName]] = Counter()
        for one in pending:
            left[one.model.name, "tune"] += len(one.tune)
            left[one.model.name, "final"] += one.count - len(one.tune)
        self._left = left  # at once: the thread that draws the bar reads it

    def unknown(self) -> list[str]:
        """The models with runs left of which nobody can tell how long they take, by name."""
        left = {model for (model, _), runs in self._left.items() if runs}
        return sorted(model for model in left if not (self.sizes and self._speeds_of(model)))

    def remaining(self) -> float:
        """Seconds until nothing is pending but the runs of unknown models.

        As if each worker took the longest run that is left, and none waited for a recipe.
        """
        durations = [seconds for _, seconds in self._durations()]
        total = sum(durations)
        for now in tuple(self._under_way.values()):
            total -= now.share * self._run_seconds(now.run.model, now.run.stage)[0]
        if self.workers == 1 or not durations:
            return max(total, 0.0)
        loads = [0.0] * self.workers
        for seconds in sorted(durations, reverse=True):
            heapq.heapreplace(loads, loads[0] + seconds)
        return max(loads) * max(total, 0.0) / sum(durations)

    @property
    def of_others(self) -> bool:
        """Whether published speeds are taken as they are, since none here compares with them."""
        left = {model for (model, _), runs in self._left.items() if runs}
        return self.scale() is None and bool(left & self._published.keys() - self._measured.keys())

    def worker_seconds(self, model: str) -> float:
        """How long one worker takes for a model's runs that are left; 0 where nobody knows."""
        return sum(seconds for name, seconds in self._durations() if name == model)

    def source(self, model: str) -> str:
        """Where a model's speed is known from: this device or others, and how it was trained."""
        for where, speeds in (("here", self._here), ("elsewhere", self._published)):
            if self.sizes and (speed := speeds.get(model)):
                said = f"{where}, {speed.protocol}"
                other = self._on_host and speed.threads != self._threads
                return f"{said}, {counted(speed.threads, 'thread')}" if other else said
        return "unknown"

    def scale(self) -> float | None:
        """How much faster this machine is than others, on what both have trained; None if nothing.

        The median over models.
        """
        ratios = [
            speed / self._published[model].training
            for model, speed in tuple(self._measured.items())  # another thread adds to it
            if model in self._published
        ]
        return median(ratios) if ratios else None

    def seconds(self, model: str, stage: StageName) -> float | None:
        """How long one run takes; None where nobody knows."""
        return sum(self._run_seconds(model, stage)) or None

    def memory(self, model: str) -> float:
        """How many bytes a worker needs at its peak, as its model's records say."""
        return self._memory.get(model, UNKNOWN_MEMORY)

    @hookimpl
    def fmbench_run_start(self, run: Run) -> None:
        """A run that has not reported yet has done nothing."""
        self._under_way.pop(run.key, None)

    @hookimpl
    def fmbench_epoch_end(self, progress: Progress) -> None:
        """Take the speed a run reports as its model's."""
        self._measured[progress.run.model] = progress.images_per_second
        self._under_way[progress.run.key] = progress

    @hookimpl
    def fmbench_run_again(self, run: Run) -> None:
        """What a run had done is lost."""
        self._under_way.pop(run.key, None)

    @hookimpl
    def fmbench_run_end(self, record: Record) -> None:
        """One run less to do; its peak of memory is known now."""
        self._under_way.pop(record.key, None)
        self._left[record.run.model, record.run.stage] -= record.done
        if self._on_host and record.ok:
            self._memory[record.run.model] = record.cost.peak_memory

    def _durations(self) -> Iterator[tuple[str, float]]:
        """The model and the seconds of each run that is left, and of each start of a worker."""
        for (model, stage), runs in tuple(self._left.items()):
            if runs > 0 and (seconds := self.seconds(model, stage)):
                yield model, SECONDS_TO_START_A_JOB
                yield from [(model, seconds)] * runs

    def _run_seconds(self, model: str, stage: StageName) -> tuple[float, float]:
        """Seconds of training and of inference; none where that is not known."""
        speeds = self._speeds_of(model)
        if not (speeds and self.sizes):
            return 0.0, 0.0
        images, tested = self.sizes
        if stage == "tune":
            validation = self._protocol.data.validation_images
            images, tested = images - validation, validation
            if tuning := self._protocol.tuning:
                tested = (1 + tuning.epochs * tuning.each_epoch) * validation + tuning.fit_images
        steps = train_steps(self._protocol, stage, images)
        return steps * self._protocol.training.batch_size / speeds[0], tested / speeds[1]

    def _speeds_of(self, model: str) -> tuple[float, float] | None:
        """Images per second in training and inference; None where nobody knows."""
        machine, published = self.scale() or 1.0, self._published.get(model, Speed())
        train = self._measured.get(model, machine * published.training)
        here = self._here.get(model)
        inference = here.inference if here else machine * published.inference
        return (train, inference or FORWARD_SPEEDUP * train) if train else None


def _peaks(found: Iterable[Record], setting: Setting) -> dict[str, float]:
    """The most memory that a run of each model has taken, under this protocol if any was."""
    good = [record for record in found if record.ok]
    good.sort(key=lambda one: (one.run.protocol == setting.protocol.id, one.cost.peak_memory))
    return {record.run.model: record.cost.peak_memory for record in good}


def _speeds(found: Iterable[Record], setting: Setting) -> dict[str, Speed]:
    """The speed of each model, under this protocol if known."""
    good = [record for record in found if record.ok]
    good.sort(key=lambda record: record.run.protocol == setting.protocol.id)
    return {
        record.run.model: Speed(
            record.cost.images_per_second,
            record.cost.inference_images_per_second,
            record.run.protocol,
            record.environment.threads,
        )
        for record in good
    }
