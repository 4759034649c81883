"""How much memory a worker takes above a bare process that trains the same network.

    python benchmarks/memory.py [MODEL ...] [--json FILE]

The worker is fmbench's own, with all training and test images; only its epoch is cut short after a
few steps. The bare process imports the same libraries, takes the same steps with the same network,
optimiser and batch size on one ready batch, and then sees one batch as large as evaluation's.
Peaks are the kernel's, of resident memory; on a CUDA device torch's, of device memory.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import command_line
import jobs
import measurements
import short_protocol
import tables
from command_line import say
from measurements import Memory, MemoryRow

from fmbench import data, discovery, hardware, protocol
from fmbench.discovery import ListedModel
from fmbench.execution.job import JobFolder
from fmbench.execution.plan import make_setting
from fmbench.execution.selection import select

MODELS = ("softmax", "timm/resnet18", "vgg11")
SHORT_PROCESS = Path(__file__).with_name("short_process.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models, print the table; 1 when a model could not be measured."""
    parser = command_line.parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--recipe", help="the protocol's first")
    parser.add_argument("--steps", type=int, default=8, help="in each epoch; 8")
    parser.add_argument("--rounds", type=int, default=2, help="2")
    parser.add_argument(
        "--checkpoints", action="store_true", help="two epochs, with a checkpoint between them"
    )
    options = parser.parse_args(arguments)
    whole = protocol.load(options.protocol)
    rules = short_protocol.shorten(
        whole,
        recipe=options.recipe or whole.recipes[0].name,
        images=None,
        epochs=2 if options.checkpoints else 1,
    )
    dataset = data.load(data.find(options.data_dir, digests=rules.data.sha256), rules.data.sha256)
    device = hardware.find_device(options.device)
    setting = make_setting(rules, device, threads=options.threads)
    rows: list[MemoryRow] = []
    failed = False
    occasion = command_line.begin(device, options.threads)
    for model in select(discovery.catalogue(), options.models or MODELS):

        def peak(kind: str, model: ListedModel = model) -> int:
            with tempfile.TemporaryDirectory() as folder:
                often = 0.0 if options.checkpoints else jobs.NEVER
                job = jobs.place(Path(folder), model, setting, dataset, checkpoint_seconds=often)
                found = measure(job, kind, options.steps)
                say(f"{model.name}, {kind}: {found / tables.MEGABYTE:.0f} MB")
                return found

        try:
            pairs = [(peak("worker"), peak("bare")) for _ in range(options.rounds)]
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            say(f"{model.name}: {error}")  # the other models are measured all the same
            failed = True
            continue
        worker, bare = zip(*pairs, strict=True)
        rows.append(MemoryRow(model=model.name, protocol=whole.id, worker=worker, bare=bare))
        if options.json:
            measured = Memory(occasion=occasion, checkpoints=options.checkpoints, rows=tuple(rows))
            measurements.write(options.json, measured)
    measured = Memory(occasion=occasion, checkpoints=options.checkpoints, rows=tuple(rows))
    print(tables.to_markdown(measured))
    return int(failed)


def measure(job: JobFolder, kind: str, steps: int) -> int:
    """The peak memory, in bytes, of a process of that kind, `worker` or `bare`, on a job.

    Linux counts what the starting process holds towards a new one's peak, so this must stay smaller
    than what it measures: it imports no torch.

    Raises `CalledProcessError` or `RuntimeError` when the process does not end well.
    """
    command = [
        sys.executable,
        str(SHORT_PROCESS),
        kind,
        str(job.path),
        str(steps),
        str(os.getpid()),
    ]
    subprocess.run(command, check=True)
    outcome = job.read_outcome(0)
    if outcome is None or outcome.status != "ok":
        raise RuntimeError(f"the {kind} process ended with {outcome}")
    return outcome.cost.peak_memory


if __name__ == "__main__":
    command_line.run(main)
