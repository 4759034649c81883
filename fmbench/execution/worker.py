"""The child process that trains: it reads a job's folder, and leaves its answers there.

`python -m fmbench.execution.worker FOLDER GUARD`. It holds training images, their labels, and the
evaluation images; never the labels of those. It takes no commands while it runs.
"""

import math
import os
import sys
import traceback
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmbench import environment, files, processes
from fmbench.contract import Model
from fmbench.discovery.child import ChangedError, load_model, unchanged
from fmbench.discovery.entries import Entry
from fmbench.errors import UsageError
from fmbench.execution.job import Event, Inputs, Job, JobFolder, Refusal, RunOutcome, Spent
from fmbench.protocol import Tuning
from fmbench.records import Cost, Run
from fmbench.statuses import STATUSES, Status
from fmbench.training import cost, departures, devices, forms, loop, states
from fmbench.training.batches import Images
from fmbench.training.builder import Builder
from fmbench.training.checkpoints import Checkpoints
from fmbench.wording import encodable, raised, without_home


def main(path: str, guard: str) -> None:
    """Do the job in the folder `path`, run by run; `guard` is the pid of who started this."""
    processes.begin_as_child(int(guard))
    folder = JobFolder(Path(path).resolve())
    job = folder.read_job()
    rules = job.protocol.devices[job.device.kind]
    try:
        device = devices.prepare(job.device.torch_name, rules, job.threads)
        entry = unchanged(job.plugin)
    except UsageError as error:
        folder.refuse(Refusal(what=error.what, hint=error.hint))
        sys.exit(error.exit_code)
    except ChangedError as error:
        folder.refuse(Refusal(what=str(error), hint=error.hint, changed=True))
        sys.exit(error.exit_code)
    where = environment.describe(devices.identified(job.device), job.threads)
    files.write(folder.environment, msgspec.json.encode(where))
    under_training = ModelUnderTraining(job, entry, device)
    for number in range(len(job.runs)):
        folder.append(Event(kind="start", run=number))
        outcome = msgspec.structs.replace(
            perform(folder, under_training, number), departure=under_training.departure or ""
        )
        folder.write_outcome(number, outcome)
        folder.append(Event(kind="end", run=number))
        if STATUSES[outcome.status].ends_job:
            return


class ModelUnderTraining:
    """A job's model and the arrays it works on, resident on the device."""

    def __init__(self, job: Job, entry: Entry, device: torch.device) -> None:
        self.job = job
        self.entry = entry
        self.device = device
        self.rules = job.protocol.devices[job.device.kind]
        # until the first network is there; of one that is not trained nothing is checked
        self.departure: str | None = "" if job.answer_with else None
        inputs = Inputs(Path(job.inputs))
        self.train_pixels = torch.from_numpy(inputs.read("train_images"))
        self._labels = torch.from_numpy(inputs.read("train_labels"))
        self.evaluation_pixels = torch.from_numpy(inputs.read("evaluation_images"))

    @cached_property
    def labels(self) -> Tensor:
        """Those of the training images, int64 (n,) on the device; a run finds out if it is full."""
        return self._labels.to(self.device, torch.int64)

    @cached_property
    def model(self) -> Model:
        """The plugin's model; its import is the plugin's code."""
        return load_model(self.entry, self.job.model)

    @cached_property
    def builder(self) -> Builder:
        """What builds the networks of all runs."""
        return Builder(self.model)

    def build(self, run: Run) -> nn.Module:
        """A freshly initialised network; raises as `Builder.build` does.

        The first has its gradients checked; raises `WrongGradientError` when they are wrong.
        """
        builder = self.builder
        devices.set_flags(self.rules, self.job.threads)  # whatever the import or the last run set
        devices.seed_everything(self.job.protocol.id, run.seed, "build")
        network = builder.build()
        devices.place(network, self.device, self.rules)
        if self.departure is None:
            self.rules, self.departure = departures.settle(
                network,
                lambda: self._first_batch(run),
                self.rules,
                label_smoothing=self.job.protocol.training.label_smoothing,
            )
            devices.place(network, self.device, self.rules)
        return network

    def _first_batch(self, run: Run) -> tuple[Tensor, Tensor]:
        count = min(self.job.protocol.training.batch_size, len(self.labels))
        index = torch.arange(count, device=self.device)
        return self.training_images(run).batch(index), self.labels[index]

    def training_images(self, run: Run) -> Images:
        """Training images, augmented as the run's recipe says."""
        protocol = self.job.protocol
        return Images(
            self.train_pixels,
            size=self.model.size,
            rules=protocol.data,
            device=self.device,
            augmentation=protocol.augmentation(protocol.recipe(run.recipe)),
            memory_format=devices.memory_format(self.rules),
        )

    def evaluation_images(self, first: int | None = None) -> Images:
        """The images that are classified, or the first of them."""
        return Images(
            self.evaluation_pixels[:first],
            size=self.model.size,
            rules=self.job.protocol.data,
            device=self.device,
            memory_format=devices.memory_format(self.rules),
        )


def perform(folder: JobFolder, under_training: ModelUnderTraining, number: int) -> RunOutcome:
    """Train and evaluate one run; whatever goes wrong becomes its outcome."""
    curve: list[float] = []
    try:
        if under_training.job.answer_with:
            return answer(folder, under_training, number)
        return train_and_answer(folder, under_training, number, curve)
    except loop.DivergedError as error:
        return failed("diverged", error, curve)
    except loop.InvalidOutputError as error:
        return failed("invalid", error, curve)
    except BaseException as error:  # SystemExit too: a plugin's exit ends one run, not the job
        with suppress(OSError):  # a plugin may have closed what `print_exc` writes to
            os.write(2, encodable(traceback.format_exc()).encode())
        return failed("oom" if devices.out_of_memory(error) else "failed", error, curve)


def failed(status: Status, error: BaseException, curve: list[float]) -> RunOutcome:
    """The outcome of a run that ended early."""
    in_our_words = status in ("diverged", "invalid")
    sentence = str(error) if in_our_words else raised(error)
    message = without_home(sentence.strip())[:2000]
    return RunOutcome(status=status, message=message, curve=finite(curve))


def train_and_answer(
    folder: JobFolder, under_training: ModelUnderTraining, number: int, curve: list[float]
) -> RunOutcome:
    """One run from a fresh model to logits on disk; `curve` grows as epochs end."""
    job, device = under_training.job, under_training.device
    run = job.runs[number]
    stage = job.protocol.stage(run.stage)
    network = under_training.build(run)
    devices.forget_peak_memory(device)  # the check of its gradients and earlier runs took more
    evaluation = under_training.evaluation_images()
    flops = cost.forward_flops(
        network, evaluation.batch(torch.zeros(1, dtype=torch.int64, device=device))
    )

    checkpoints = Checkpoints(
        Path(job.checkpoints) / run.key,
        job.checkpoint_seconds,
        device=devices.identified(job.device).digest,
    )

    def report(epoch: int, step: int, steps: int, loss: float, rate: float) -> None:
        folder.append(
            Event(
                kind="progress",
                run=number,
                epoch=epoch,
                step=step,
                steps=steps,
                loss=loss if math.isfinite(loss) else None,
                images_per_second=rate,
            )
        )

    log = None
    if isinstance(stage, Tuning) and stage.each_epoch:
        log = EpochAnswers(under_training, network, Path(job.checkpoints) / run.key)
    keeper = states.Keeper(network, job.keep_weights) if job.keep_weights else None
    trained = loop.train(
        network,
        under_training.training_images(run),
        under_training.labels,
        protocol=job.protocol,
        stage=stage,
        recipe=job.protocol.recipe(run.recipe),
        seed=run.seed,
        report=report,
        checkpoints=checkpoints,
        curve=curve,
        after_epoch=log.take if log else None,
    )
    if log:
        log.write(folder.answers(number).epochs, stage.epochs)
    if keeper and (why := keeper.keep(folder.answers(number).weights, run, job.protocol)):
        sys.stderr.write(f"the weights are not kept: {why}\n")
    logits, seconds = loop.predict(network, evaluation, protocol=job.protocol, device=device)
    save(folder.answers(number).logits, logits.numpy().astype(np.float32))
    return RunOutcome(
        status="ok",
        curve=finite(curve),
        cost=Cost(
            train_seconds=trained.seconds,
            images_per_second=trained.images / trained.seconds,
            inference_images_per_second=len(evaluation) / seconds,
            resumed_after=trained.resumed_after,
            parameters=cost.parameters(network),
            forward_flops=flops,
            peak_memory=devices.peak_memory(device),
        ),
        spent=Spent(
            training=trained.here,
            evaluation=seconds + (log.seconds if log else 0.0),
            checkpoints=trained.checkpointing,
        ),
        repeatable=devices.as_prepared(under_training.rules, job.threads),
    )


def answer(folder: JobFolder, trained: ModelUnderTraining, number: int) -> RunOutcome:
    """The logits that kept weights give."""
    job = trained.job
    network = trained.build(job.runs[number])
    states.load(network, Path(job.answer_with))
    logits, _ = loop.predict(
        network, trained.evaluation_images(), protocol=job.protocol, device=trained.device
    )
    answers = folder.answers(number)
    save(answers.logits, logits.numpy().astype(np.float32))
    if job.find_form:
        every = torch.arange(len(trained.evaluation_pixels), device=trained.device)
        images = trained.evaluation_images().batch(every).cpu().contiguous()
        work = files.make_folder(answers.form.with_name("form"))
        found = forms.find(network, trained.model.size, Path(job.answer_with), images, work)
        files.write(answers.form, msgspec.json.encode(found))
    return RunOutcome(status="ok")


class EpochAnswers:
    """The classes of the validation images after each epoch.

    They are kept beside the checkpoints that a run may go on from.

    seconds: spent on them in this process.
    """

    def __init__(
        self, under_training: ModelUnderTraining, network: nn.Module, folder: Path
    ) -> None:
        self.under_training = under_training
        self.network = network
        self.evaluation = under_training.evaluation_images(
            under_training.job.protocol.data.validation_images
        )
        self.folder = folder
        self.seconds = 0.0

    def take(self, epoch: int) -> None:
        """Predict, keep the classes, and leave the network in training mode."""
        logits, seconds = loop.predict(
            self.network,
            self.evaluation,
            protocol=self.under_training.job.protocol,
            device=self.under_training.device,
        )
        self.network.train()
        self.seconds += seconds
        save(self._path(epoch), logits.argmax(1).numpy().astype(np.uint8))

    def write(self, path: Path, epochs: int) -> None:
        """Write those of all epochs, uint8 (epochs, n)."""
        save(path, np.stack([np.load(self._path(epoch + 1)) for epoch in range(epochs)]))

    def _path(self, epoch: int) -> Path:
        return self.folder / f"answers-{epoch}.npy"


def save(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array as plain npy, its folder made if need be."""
    files.make_folder(path.parent)
    files.write(path, files.npy_bytes(array))


def finite(curve: list[float]) -> tuple[float | None, ...]:
    """A curve as JSON can hold it: what is not a finite number becomes null."""
    return tuple(loss if math.isfinite(loss) else None for loss in curve)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
