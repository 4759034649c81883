"""How long the runs still owed will take: from published speeds first, then from measured ones."""

from collections import Counter
from collections.abc import Iterable
from statistics import median

from fmbench.execution.plan import Owed, Setting, train_steps
from fmbench.hookspecs import hookimpl
from fmbench.protocol import TEST_IMAGES, TRAINING_IMAGES, StageName
from fmbench.records import Progress, Record

SECONDS_TO_START_A_JOB = 6.0
UNKNOWN_TRAIN_SPEED, UNKNOWN_INFERENCE_SPEED = 500.0, 3000.0


class Estimate:
    """Seconds of work left. An ordinary observer: each report of a speed sharpens it.

    own:       records of the store; those of this device say how fast it is.
    published: records whose speeds stand in for models that have not been trained here, scaled by
               how this machine compares with theirs on the models that have.
    """

    def __init__(
        self,
        owed: Iterable[Owed],
        setting: Setting,
        *,
        own: Iterable[Record],
        published: Iterable[Record],
    ) -> None:
        self._protocol = setting.protocol
        self.plan(owed)
        alike = [one for one in published if one.run.device_kind == setting.device.kind]
        here = [one for one in own if one.environment.device.is_a(setting.device)]
        self._published = _speeds(alike, setting)
        self._here = _speeds(here, setting)
        self._measured = {model: training for model, (training, _) in self._here.items()}
        self._under_way: Progress | None = None

    def plan(self, owed: Iterable[Owed]) -> None:
        """Take these as the runs that are left."""
        left: Counter[tuple[str, StageName]] = Counter()
        for one in owed:
            left[one.model.name, "tune"] += len(one.tune)
            left[one.model.name, "final"] += one.count - len(one.tune)
        self._left = left  # at once: the thread that draws the bar reads it

    def remaining(self) -> float:
        """Seconds until nothing is owed."""
        total = 0.0
        for (model, stage), runs in self._left.items():
            if runs:
                total += runs * self._run_seconds(model, stage) + SECONDS_TO_START_A_JOB
        if now := self._under_way:
            total -= now.share * self._train_seconds(now.run.model, now.run.stage)
        return max(total, 0.0)

    @hookimpl
    def fmbench_run_start(self) -> None:
        """A run that has not reported yet has done nothing."""
        self._under_way = None

    @hookimpl
    def fmbench_epoch_end(self, progress: Progress) -> None:
        """Take the speed a run reports as its model's."""
        self._measured[progress.run.model] = progress.images_per_second
        self._under_way = progress

    @hookimpl
    def fmbench_run_end(self, record: Record) -> None:
        """One run less to do."""
        self._under_way = None
        self._left[record.run.model, record.run.stage] -= 1

    def _run_seconds(self, model: str, stage: StageName) -> float:
        return self._train_seconds(model, stage) + self._inference_seconds(model, stage)

    def _train_seconds(self, model: str, stage: StageName) -> float:
        validation = self._protocol.data.validation_images if stage == "tune" else 0
        steps = train_steps(self._protocol, stage, TRAINING_IMAGES - validation)
        speed = self._measured.get(model) or self._machine() * self._known(model)[0]
        return steps * self._protocol.training.batch_size / speed

    def _inference_seconds(self, model: str, stage: StageName) -> float:
        images = TEST_IMAGES
        if stage == "tune" and (tuning := self._protocol.tuning):
            times = 1 + tuning.epochs * tuning.each_epoch
            images = times * self._protocol.data.validation_images + tuning.fit_images
        here = self._here.get(model)
        return images / (here[1] if here else self._machine() * self._known(model)[1])

    def _known(self, model: str) -> tuple[float, float]:
        return self._published.get(model, (UNKNOWN_TRAIN_SPEED, UNKNOWN_INFERENCE_SPEED))

    def _machine(self) -> float:
        """How much faster this machine is than the published one, on what both have trained."""
        ratios = [
            speed / self._published[model][0]
            for model, speed in tuple(self._measured.items())  # another thread adds to it
            if model in self._published
        ]
        return median(ratios) if ratios else 1.0


def _speeds(found: Iterable[Record], setting: Setting) -> dict[str, tuple[float, float]]:
    """Images per second in training and inference of each model, under this protocol if known."""
    good = [record for record in found if record.ok]
    good.sort(key=lambda record: record.run.protocol == setting.protocol.id)
    return {
        record.run.model: (record.cost.images_per_second, record.cost.inference_images_per_second)
        for record in good
    }
