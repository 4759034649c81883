"""The two processes whose memory memory.py compares; each leaves an outcome in a job's folder.

`python short_process.py worker|bare FOLDER STEPS PARENT`
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from fmbench.contract import InputSpec
from fmbench.discovery.child import load_model, unchanged
from fmbench.execution import worker
from fmbench.execution.job import Job, JobFolder, Outcome
from fmbench.records import Cost
from fmbench.training import devices, loop


def work(folder: str, steps: int, parent: str) -> None:
    """Be fmbench's worker, with labels for no more images than these steps take.

    All images are resident; the loop draws from as many as have labels.
    """

    class Shortened(worker.ModelUnderTraining):
        def __init__(self, job: Job, device: torch.device) -> None:
            super().__init__(job, device)
            self.labels = self.labels[: steps * job.protocol.training.batch_size].clone()

    worker.ModelUnderTraining = Shortened  # type: ignore[misc]
    worker.main(folder, parent)


def train_barely(folder: str, steps: int) -> None:
    """Train on one batch and look at one of evaluation's, as the job in the folder says."""
    folder_of_job = JobFolder(Path(folder))
    job = folder_of_job.read_job()
    rules = job.protocol.devices[job.device.kind]
    device = devices.prepare(job.device.torch_name, rules, job.threads)
    offer = load_model(unchanged(job.plugin), job.model)
    memory_format = devices.memory_format(rules)
    network = offer.build(InputSpec(size=offer.size))
    network.to(device, memory_format=memory_format)  # type: ignore[call-overload]

    def batch(count: int) -> torch.Tensor:
        images = torch.zeros(count, 1, offer.size, offer.size, device=device)
        return images.contiguous(memory_format=memory_format)

    train(network, batch(job.protocol.training.batch_size), job, steps * job.protocol.final.epochs)
    evaluated = batch(job.protocol.training.evaluation_batch_size)
    network.eval()
    with torch.no_grad(), devices.autocast(device, rules):
        for _ in range(2):
            network(evaluated)
    cost = Cost(peak_memory=devices.peak_memory(device))
    folder_of_job.write_outcome(0, Outcome(status="ok", cost=cost))


def train(network: nn.Module, images: torch.Tensor, job: Job, steps: int) -> None:
    """So many steps on one batch; the optimiser's state goes with the end, as a worker's does."""
    training = job.protocol.training
    rules = job.protocol.devices[job.device.kind]
    optimizer = loop.make_optimizer(network, job.protocol.recipes[0])
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    network.train()
    for _ in range(steps):
        with devices.autocast(images.device, rules):
            loss = functional.cross_entropy(
                network(images), labels, label_smoothing=training.label_smoothing
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if training.clip_norm:
            nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
        optimizer.step()


if __name__ == "__main__":
    kind, path, count, pid = sys.argv[1:]
    if kind == "worker":
        work(path, int(count), pid)
    else:
        train_barely(path, int(count))
