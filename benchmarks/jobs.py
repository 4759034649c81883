"""Jobs as fmbench's runner places them, for a worker that a script starts itself."""

from pathlib import Path

from fmbench.data import Dataset
from fmbench.discovery import ListedModel
from fmbench.execution.job import Job, JobFolder
from fmbench.execution.plan import Setting, make_run
from fmbench.execution.scorer import Scorer

NEVER = 1e9  # seconds


def place(
    folder: Path,
    model: ListedModel,
    setting: Setting,
    dataset: Dataset,
    *,
    checkpoint_seconds: float = NEVER,
) -> JobFolder:
    """Place a job and its arrays in an empty folder: one final run, first recipe, first seed.

    checkpoint_seconds: the least time between two checkpoints.
    """
    protocol = setting.protocol
    run = make_run(model, setting, "final", protocol.recipes[0].name, setting.seeds[0])
    inputs = folder / "inputs"
    Scorer(dataset, protocol).write_inputs("final", inputs)
    placed = JobFolder(folder / "job")
    placed.write_job(
        Job(
            model=model.name,
            plugin=model.plugin,
            protocol=protocol,
            runs=(run,),
            device=setting.device,
            threads=setting.threads,
            inputs=str(inputs),
            checkpoints=str(folder / "checkpoints"),
            checkpoint_seconds=checkpoint_seconds,
        )
    )
    return placed
