"""What training a model under a protocol is expected to cost on this machine."""

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.execution.plan import train_steps
from fmbench.protocol import TRAINING_IMAGES, Protocol, Stage
from fmbench.records import Cost
from fmbench.training import cost, devices, loop
from fmbench.training.batches import Images

TIMED_STEPS = 3
PIXELS = 28 * 28
GRADIENT_AND_MOMENTS = {"adamw": 3, "sgd": 2}
"""How many numbers training keeps beside each trainable one."""


def expected_cost(network: nn.Module, images: Images, protocol: Protocol) -> Cost:
    """Estimate one final run on this machine's CPU; trains the network a few steps.

    images: as many as a step is measured with, at the most.

    Memory is that of weights, gradients, moments and images, with what one batch keeps for its
    backward pass scaled to the protocol's batch; time is that of the fastest step, scaled.
    """
    recipe = protocol.recipes[0]
    size = min(protocol.training.batch_size, len(images))
    scale = protocol.training.batch_size / size
    labels = torch.arange(size) % 10
    training = msgspec.structs.replace(
        protocol.training, batch_size=size, schedule="constant", warmup=0.0
    )
    rates: list[float] = []
    loop.train(
        network,
        images,
        labels,
        protocol=msgspec.structs.replace(protocol, training=training),
        stage=Stage(epochs=TIMED_STEPS),
        recipe=msgspec.structs.replace(recipe, learning_rate=1e-9),  # it shall not diverge
        seed=0,
        report=lambda *report: rates.append(report[-1]),
    )
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with (
        devices.autocast(torch.device("cpu"), protocol.devices["cpu"]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value),
    ):
        loss = functional.cross_entropy(network(images.batch(torch.arange(size))), labels)
    for parameter in network.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    del loss  # what it keeps has had addresses of its own until now
    weights = sum(one.nbytes for one in (*network.parameters(), *network.buffers()))
    trainable = cost.parameters(network)
    beside = 4 * trainable * GRADIENT_AND_MOMENTS[recipe.optimizer]
    steps = train_steps(protocol, "final", TRAINING_IMAGES)
    return Cost(
        parameters=trainable,
        forward_flops=cost.forward_flops(network, images.batch(torch.arange(1))),
        peak_memory=round(weights + beside + scale * sum(kept.values()) + TRAINING_IMAGES * PIXELS),
        train_seconds=steps * protocol.training.batch_size / max(rates),
    )
