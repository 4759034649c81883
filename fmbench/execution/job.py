"""A job's folder: all that a runner and a worker say to one another, as files.

job.json         what to do, written by the runner
environment.json where it is done, written by the worker
refusal.json     why it is not done, written by the worker before it has imported the plugin
events.jsonl     what happens, appended by the worker
ended.json       how the worker ended, written by its guard
N/               of the N-th run: `Answers`, its outcome.json the mark that it has ended

The arrays a stage trains on lie beside the jobs, shared by all of them: `Inputs`.
"""

import os
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fmbench import files, weights
from fmbench.hardware import Device
from fmbench.protocol import Protocol
from fmbench.records import Cost, Plugin, Run
from fmbench.statuses import STATUSES, Status


class Job(Struct, frozen=True, kw_only=True):
    """Runs of one model and one stage, for one worker. Folders are absolute paths.

    inputs:       holds the arrays.
    checkpoints:  holds a folder of checkpoints for each run's key.
    keep_weights: how the weights of good final runs are left, if at all.
    answer_with:  a file of kept weights, if its network is to answer and nothing to be trained.
    find_form:    whether it is then to be found out how the network can be built: `weights.Form`.
    """

    model: str
    plugin: Plugin
    protocol: Protocol
    runs: tuple[Run, ...]
    device: Device
    threads: int
    inputs: str
    checkpoints: str
    checkpoint_seconds: float
    keep_weights: weights.Kind | None = None
    answer_with: str = ""
    find_form: bool = False


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of events.jsonl; the numbers are those of `fmbench.records.Progress`."""

    kind: Literal["start", "progress", "end"]
    run: int
    epoch: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    images_per_second: float = 0.0


class Ending(Struct, frozen=True, kw_only=True):
    """How a worker process ended: its exit status, negative for a signal."""

    status: int
    out_of_memory: bool = False


class Spent(Struct, frozen=True, kw_only=True):
    """Seconds of wall time a worker spent on a run, in this process alone."""

    training: float = 0.0
    evaluation: float = 0.0
    checkpoints: float = 0.0


class RunOutcome(Struct, frozen=True, kw_only=True):
    """How a run ended, before it is marked; the fields are those of Result and Record.

    repeatable: whether the plugin left threads and determinism as the worker had set them.
    departure:  what was not done as the protocol says, and why.
    """

    status: Status
    message: str = ""
    curve: tuple[float | None, ...] = ()
    cost: Cost = Cost()
    spent: Spent = Spent()
    repeatable: bool = True
    departure: str = ""


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a worker does not do a job, said before any plugin's code has run.

    changed: the plugin is not what the job was planned with. Otherwise no job can be done here.
    """

    what: str
    hint: str
    changed: bool = False


class Answers:
    """What a worker leaves of one run, in a folder of its own.

    logits:  float32 (n, classes), plain npy.
    epochs:  uint8 (epochs, validation images), plain npy: the classes predicted after each epoch,
             when asked for.
    weights: safetensors, see `fmbench.weights`, when asked for.
    form:    `weights.Form`, when asked for.
    outcome: how the run ended; comes after the others.
    """

    def __init__(self, path: Path) -> None:
        self.logits = path / "logits.npy"
        self.epochs = path / "epochs.npy"
        self.weights = path / "weights.safetensors"
        self.form = path / "form.json"
        self.outcome = path / "outcome.json"


class JobFolder:
    """The paths in a job's folder, and how its files are read and written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ending = path / "ended.json"
        self.environment = path / "environment.json"
        self._job = path / "job.json"
        self._refusal = path / "refusal.json"
        self._events = path / "events.jsonl"

    def write_job(self, job: Job) -> None:
        """Make the folder and say in it what to do."""
        files.make_folder(self.path)
        files.write(self._job, msgspec.json.encode(job))

    def read_job(self) -> Job:
        """What to do."""
        return msgspec.json.decode(self._job.read_bytes(), type=Job)

    def refuse(self, refusal: Refusal) -> None:
        """Say why the job is not done."""
        files.write(self._refusal, msgspec.json.encode(refusal))

    def read_refusal(self) -> Refusal | None:
        """Why the job is not done, if so."""
        return files.read_json(self._refusal, Refusal)

    def append(self, event: Event) -> None:
        """Tell an event."""
        files.append_json(self._events, event)

    def events_after(self, offset: int) -> tuple[list[Event], int]:
        """The events told past a byte offset, and the offset after them."""
        return files.json_lines(self._events, Event, offset)

    def read_ending(self) -> Ending | None:
        """How the worker ended; None when its guard could not say."""
        return files.read_json(self.ending, Ending)

    def answers(self, run: int) -> Answers:
        """Where the answers of a run lie."""
        return Answers(self.path / str(run))

    def write_outcome(self, run: int, outcome: RunOutcome) -> None:
        """Say how a run ended; comes after its logits."""
        path = self.answers(run).outcome
        files.make_folder(path.parent)
        files.write(path, msgspec.json.encode(outcome))

    def read_outcome(self, run: int) -> RunOutcome | None:
        """How a run ended; None while it has not, or when a plugin spoilt the file."""
        outcome = files.read_json(self.answers(run).outcome, RunOutcome)
        believed = outcome is not None and STATUSES[outcome.status].reported_by == "worker"
        return outcome if believed else None


class Inputs:
    """The arrays of one stage: what to train on, with labels, and what to answer, without.

    train_images uint8 (n, 28, 28), train_labels uint8 (n,), evaluation_images uint8 (m, 28, 28).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(
        self,
        train_images: NDArray[np.uint8],
        train_labels: NDArray[np.uint8],
        evaluation_images: NDArray[np.uint8],
    ) -> None:
        """Place the arrays; the folder appears whole or not at all."""
        half = files.make_folder(self.path.with_name(f".{self.path.name}.{os.getpid()}"))
        files.write(half / "train_images.npy", files.npy_bytes(train_images))
        files.write(half / "train_labels.npy", files.npy_bytes(train_labels))
        files.write(half / "evaluation_images.npy", files.npy_bytes(evaluation_images))
        half.rename(self.path)

    def read(self, name: str) -> NDArray[np.uint8]:
        """One of the arrays, by its name."""
        array: NDArray[np.uint8] = np.load(self.path / f"{name}.npy", allow_pickle=False)
        return array
