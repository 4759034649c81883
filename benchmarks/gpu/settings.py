"""What the stages measure, on a GPU and in a rehearsal, and how long each of them may take."""

import math
from dataclasses import dataclass
from typing import Any

LIMITS = {
    "install": 40.0,
    "device": 40.0,
    "gpu-tests": 60.0,
    "doctor": 45.0,
    "speed": 110.0,
    "levers": 40.0,
    "graphs": 40.0,
    "side-by-side": 75.0,
    "time-to-accuracy": 30.0,
    "compile": 45.0,
    "finals": math.inf,
}
"""Each stage's seconds, in the order of their worth. The last has what the others leave."""

ALL_SECONDS = 520.0
"""Of a command that ends after ten minutes, whatever it does, and starts on a machine lent for
fifteen."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured. All of it is plain data, which is handed to a stage's process as JSON.

    device, protocol:  as fmbench's options of that name take them; a file by its whole path.
    data, results:     folders: the four files, and the records of the final runs.
    threads:           CPU threads of a training; 0 for all cores.
    models:            names and patterns, as `fmbench run` takes them.
    batches:           images a step.
    steps, rounds:     of a measurement of speed.
    whole:             models so fast that they are timed on all images instead.
    peer_images:       what a peer, which reads images one by one, is timed on.
    peer_workers:      processes of the peers' loaders.
    lever_models, lever_batch, lever_epochs: what levers are tried on; steps an epoch are 20.
    compiled_models:   what torch.compile is tried on.
    matrix:            side of the matrices that the device's ceiling is measured with.
    beside_model, beside_epochs, beside_images: what runs side by side.
    beside:            how many of them, and whether under MPS.
    target_model, target, target_epochs: what is trained until a test accuracy, by schedules of so
                       many epochs.
    """

    device: str
    protocol: str
    data: str
    results: str
    threads: int = 0
    models: tuple[str, ...] = ("*",)
    batches: tuple[int, ...] = (128, 512, 2048)
    steps: int = 40
    rounds: int = 2
    whole: tuple[str, ...] = ("softmax",)
    peer_images: int = 8_192
    peer_workers: tuple[int, ...] = (0, 8)
    lever_models: tuple[str, ...] = (
        "softmax", "timm/mobilenetv3_small_100", "timm/resnet18", "vgg11",
        "timm/vit_tiny_patch16_224",
    )  # fmt: skip
    lever_batch: int = 512
    lever_epochs: int = 6
    compiled_models: tuple[str, ...] = ("timm/resnet18", "vgg11")
    matrix: int = 8192
    beside_model: str = "timm/mobilenetv3_small_100"
    beside_epochs: int = 4
    beside_images: int = 20_000
    beside: tuple[tuple[int, bool], ...] = (
        (1, False), (4, False), (4, True), (8, True), (8, False),
    )  # fmt: skip
    target_model: str = "vgg11"
    target: float = 0.91
    target_epochs: tuple[int, ...] = (2, 3, 5)


REHEARSAL: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "models": ("softmax",),
    "batches": (16, 32),
    "steps": 4,
    "rounds": 1,
    "whole": (),
    "peer_images": 64,
    "peer_workers": (0,),
    "lever_models": ("softmax",),
    "lever_batch": 8,
    "lever_epochs": 2,
    "compiled_models": ("softmax",),
    "matrix": 64,
    "beside_model": "softmax",
    "beside_epochs": 1,
    "beside_images": 256,
    "beside": ((1, False), (2, False)),
    "target_model": "softmax",
    "target_epochs": (1,),
}
"""The settings of a rehearsal: every stage, on a CPU, with next to nothing to do in each."""

REHEARSED = """
name = "rehearsal"
version = 1
extends = {protocol}
seeds = [1, 2]
training.batch_size = 16
devices.cpu.threads = 1
tune = {{ epochs = 1, train_images = 256 }}
final = {{ epochs = 1, train_images = 256 }}
"""
"""The protocol of a rehearsal, which has the rules of the candidate but its budget."""
