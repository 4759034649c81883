"""Kept weights put to use: a worker builds their network, and answers images with it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from fmbench import discovery, files
from fmbench.contract import CLASSES
from fmbench.discovery import ListedModel
from fmbench.errors import PluginError
from fmbench.execution.following import Ended, JobUnderWay
from fmbench.execution.job import Answers, Inputs, Job, JobFolder
from fmbench.execution.local import LocalEngine
from fmbench.execution.plan import Setting, make_run
from fmbench.execution.selection import select
from fmbench.hardware import Device
from fmbench.limits import cores
from fmbench.protocol import DeviceRules
from fmbench.records import Run
from fmbench.weights import Form, Weights
from fmbench.wording import then_and_now

SECONDS_BETWEEN_LOOKS = 0.02
PLAIN = DeviceRules(precision="float32", channels_last=False)
"""How a network answers on a kind of device that its protocol does not train on."""


def installed(weights: Weights) -> ListedModel:
    """The model that weights are of, as it is installed here.

    Raises `UsageError` when its plugin is not installed, or does not offer it any more.
    """
    run = weights.run
    (model,) = select(discovery.catalogue(), [f"{run.plugin.distribution}:{run.model}"])
    return model


def changes(weights: Weights, model: ListedModel) -> tuple[str, ...]:
    """What the network is not built with as it was trained, as `torch: 2.14.1 then, 2.15.0 now`."""
    then, now = weights.run.plugin, model.plugin
    name = then.distribution
    before = {name: then.version, f"source of {name}": then.source[:12], **then.dependencies}
    after = {name: now.version, f"source of {name}": now.source[:12], **now.dependencies}
    return then_and_now(before, after)


def answer(
    weights: Weights,
    path: Path,
    model: ListedModel,
    images: NDArray[np.uint8],
    device: Device,
    *,
    timeout: float,
) -> NDArray[np.float32]:
    """The logits of images, float32 (n, 10), as the worker of a run would compute them.

    path:    the file of the weights.
    images:  uint8 (n, 28, 28), n above 0, as the data set has them: light on dark.
    timeout: seconds.

    Raises `PluginError` when the network cannot be built, does not take the weights, or gives no
    finite logits, and `UsageError` when no worker can work on the device.
    """
    with _answered(weights, path, model, images, device, timeout, find_form=False) as answers:
        logits = files.read_npy(answers.logits, np.float32, (len(images), CLASSES))
        if not np.isfinite(logits).all():
            raise ValueError("its logits are not all finite")
        return logits


def form(
    weights: Weights,
    path: Path,
    model: ListedModel,
    images: NDArray[np.uint8],
    device: Device,
    *,
    timeout: float,
) -> Form:
    """How the network of weights can be built without its plugin; see `answer`.

    images: what it and one built so are given, to see that they are the same.
    """
    with _answered(weights, path, model, images, device, timeout, find_form=True) as answers:
        found = files.read_json(answers.form, Form)
        if found is None:
            raise ValueError("it does not say how it can be built")
        return found


@contextmanager
def _answered(
    weights: Weights,
    path: Path,
    model: ListedModel,
    images: NDArray[np.uint8],
    device: Device,
    timeout: float,
    *,
    find_form: bool,
) -> Iterator[Answers]:
    """What a worker left; a `ValueError` or an `OSError` while it is read becomes the plugin's."""
    kind = device.kind
    devices = {**weights.protocol.devices}
    rules = msgspec.structs.replace(
        weights.protocol, devices={**devices, kind: devices.get(kind, PLAIN)}
    )
    threads = min(rules.devices[kind].threads or cores(), cores())
    setting = Setting(rules, device, threads, ())
    run = make_run(model, setting, weights.run.stage, weights.run.recipe, weights.run.seed)
    with files.temporary_folder() as temporary:
        folder = temporary.resolve()
        inputs = Inputs(folder / "inputs")
        inputs.write(images[:0], np.zeros(0, np.uint8), images)
        job = Job(
            model=model.name,
            plugin=model.plugin,
            protocol=rules,
            runs=(run,),
            device=device,
            threads=threads,
            inputs=str(inputs.path),
            checkpoints=str(folder),
            checkpoint_seconds=timeout,
            answer_with=str(path.resolve()),
            find_form=find_form,
        )
        end = _made(job, JobFolder(folder / "job"), timeout)
        try:
            if end.outcome.status != "ok":
                raise ValueError(end.outcome.message or end.outcome.status)
            yield end.answers
        except (OSError, ValueError) as error:
            now = f"{model.plugin.distribution} {model.plugin.version}"
            then = f"{weights.run.plugin.distribution} {weights.run.plugin.version}"
            raise PluginError(
                f"its kept weights give no answer: {error}",
                where=f"{model.name} of {now}",
                hint=f"install the plugin that they were trained with, {then}",
            ) from error


def _made(job: Job, folder: JobFolder, timeout: float) -> Ended:
    """Have a worker do a job of one run, and return how it ended."""
    worker = LocalEngine().start(job, folder, 0.0)
    under_way = JobUnderWay(job.runs, folder, worker, 1, timeout)
    try:
        for happening in under_way.happenings:
            match happening:
                case None:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                case Run():
                    under_way.begun = True
                case Ended() if under_way.begun:
                    return happening
                case Ended():
                    return under_way.ended_before_it_began(happening, job.device.torch_name)
    finally:
        worker.stop()
    raise AssertionError("a worker's job ends")
