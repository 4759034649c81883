"""How far rounding alone moves a model's accuracy under a protocol.

    python benchmarks/rounding.py --models 'timm/*' --seeds 1 2 --runs 2 --out runs.jsonl

Each model is trained as a final run of the protocol, on images drawn by class from 50,000 of the
training set, and classifies the other 10,000. The first run of a seed starts from the weights that
the seed draws; in each further one they are moved by about 1e-7 of their size, as much as rounding
does. What differs then is what rounding has grown into, and so is what differs between two
instruction sets. Test images play no part.
"""

import gc
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import contenders
import script
import workload
from fmbench import discovery, hardware, protocol
from fmbench.data import stratified_split, stratified_subset
from fmbench.execution.selection import select
from fmbench.training import devices, loop
from fmbench.training.batches import Images

HELD_OUT = 10_000
PERTURBATION = 1e-7


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and append a line for each run to a file: its right answers of 10,000."""
    parser = script.training_parser(__doc__, protocol="quick-v2")
    parser.add_argument("--models", nargs="+", default=["*"], help="names or patterns")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--runs", type=int, default=3, help="of each seed")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    rules = protocol.load(options.protocol)
    dataset = workload.load_data(options, rules)
    rest, held_out = stratified_split(dataset.train_labels, HELD_OUT, rules.data.split_seed)
    count = rules.final.train_images or len(rest)
    drawn = stratified_subset(dataset.train_labels, rest, count, rules.data.split_seed)
    pixels, labels = dataset.train_images[held_out], dataset.train_labels[held_out]
    for model in select(discovery.catalogue(), options.models):
        work = workload.Workload(
            model=workload.find_model(f"{model.plugin.distribution}:{model.name}"),
            protocol=rules,
            recipe=rules.recipes[0],
            pixels=dataset.train_images[drawn],
            labels=dataset.train_labels[drawn],
            device=hardware.find_device("cpu"),
            threads=rules.devices["cpu"].threads or options.threads,
            epochs=rules.final.epochs,
        )
        for seed in options.seeds:
            first = None
            for number in range(options.runs):
                gc.collect()
                classes = train_and_classify(replace(work, seed=seed), pixels, number)
                first = classes if first is None else first
                made = {
                    "protocol": rules.name,
                    "instructions": torch.backends.cpu.get_cpu_capability(),
                    "model": model.name,
                    "seed": seed,
                    "run": number,
                    "correct": int((classes == labels).sum()),
                    "other_answers": int((classes != first).sum()),
                }
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(made) + "\n")
                script.say(" ".join(map(str, made.values())))
    return 0


def train_and_classify(
    work: workload.Workload, pixels: NDArray[np.uint8], number: int
) -> NDArray[np.uint8]:
    """The class that a fresh model, moved unless `number` is 0, gives each of (n, 28, 28) bytes."""
    device = contenders.prepare(work)
    network = contenders.build(work, device)
    if number:
        devices.seed_everything(work.protocol.id, number, "perturbation")
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1 + PERTURBATION * torch.randn_like(parameter))
    loop.train(
        network,
        contenders.resident_images(work, device),
        torch.from_numpy(work.labels).to(device, torch.int64),
        protocol=work.protocol,
        stage=work.stage,
        recipe=work.recipe,
        seed=work.seed,
        report=lambda *_: None,
    )
    images = Images(
        torch.from_numpy(pixels),
        size=work.model.size,
        rules=work.protocol.data,
        device=device,
        memory_format=devices.memory_format(work.rules),
    )
    logits, _ = loop.predict(network, images, protocol=work.protocol, device=device)
    return logits.argmax(1).numpy().astype(np.uint8)


if __name__ == "__main__":
    script.run(main)
