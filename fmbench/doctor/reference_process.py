"""The child process of `doctor --reference`: it trains the small models, then checks gradients.

`python -P -m fmbench.doctor.reference_process FOLDER PARENT`. The folder holds a job's folder for
each model of `MODELS` that is to be trained, and

gradients.jsonl what was found of each layer: `Checked`
"""

import sys
from pathlib import Path

import msgspec

from fmbench import environment, files, processes
from fmbench.contract import Model
from fmbench.discovery.entries import Entry
from fmbench.doctor import layers
from fmbench.doctor.models import MODELS
from fmbench.doctor.reference import GRADIENTS
from fmbench.errors import UsageError
from fmbench.execution.job import JobFolder, Refusal
from fmbench.execution.worker import ModelUnderTraining, perform
from fmbench.training import devices


class OwnModel(ModelUnderTraining):
    """One of the small models, trained as a plugin's is; no plugin is loaded."""

    def __init__(self, folder: JobFolder, model: Model) -> None:
        job = folder.read_job()
        rules = job.protocol.devices[job.device.kind]
        device = devices.prepare(job.device.torch_name, rules, job.threads)
        super().__init__(job, Entry("", "", "", ""), device)
        self._own = model

    @property
    def model(self) -> Model:
        """The model."""
        return self._own


def main(path: str, parent: str) -> None:
    """Do what the folder asks for; `parent` is the pid of who asks."""
    processes.begin_as_child(int(parent))
    asked = {name: JobFolder(Path(path).resolve() / name) for name in MODELS}
    try:
        trained = [train(folder, MODELS[name]) for name, folder in asked.items()]
    except UsageError as error:
        for folder in asked.values():
            folder.refuse(Refusal(what=error.what, hint=error.hint))
        sys.exit(error.exit_code)
    job = trained[-1].job
    rules = job.protocol.devices[job.device.kind]
    for checked in layers.check(trained[-1].device, layers.rules_by_precision(rules)):
        files.append_json(Path(path) / GRADIENTS, checked)


def train(folder: JobFolder, model: Model) -> OwnModel:
    """Make the runs of a job's folder, as a worker does; raises `UsageError` as `prepare` does."""
    under_training = OwnModel(folder, model)
    here = environment.describe(devices.identified(under_training.job.device), 1)
    files.write(folder.environment, msgspec.json.encode(here))
    for number in range(len(under_training.job.runs)):
        outcome = msgspec.structs.replace(
            perform(folder, under_training, number), departure=under_training.departure or ""
        )
        folder.write_outcome(number, outcome)
    return under_training


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
