"""What training a model under a protocol is expected to cost on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmbench.execution.plan import train_steps
from fmbench.protocol import TRAINING_IMAGES, Protocol
from fmbench.training import cost, devices, loop

TIMED_STEPS = 2
LARGEST_BATCH = 64
SLOW_STEP = 5.0
PIXELS = 28 * 28


@dataclass(frozen=True)
class ExpectedCost:
    """Of one run: parameters, floating-point operations an image, bytes at the peak, seconds."""

    parameters: int
    flops: int
    memory: int
    seconds: float


def expected_cost(
    network: nn.Module, batch: Callable[[int], Tensor], protocol: Protocol
) -> ExpectedCost:
    """Estimate one final run on this machine's CPU; trains the network a few steps.

    batch: makes that many images.

    Memory is that of parameters, gradients, optimiser and images, with what one small batch keeps
    for its backward pass scaled to the protocol's batch; time is that of a few steps, scaled.
    """
    rules = protocol.devices["cpu"]
    device = torch.device("cpu")
    flops = cost.forward_flops(network, batch(1))
    size = min(protocol.training.batch_size, LARGEST_BATCH)
    scale = protocol.training.batch_size / size
    optimizer = loop.make_optimizer(network, protocol.recipes[0])
    network.train()
    images, labels = batch(size), torch.arange(size) % 10
    fastest, kept = float("inf"), 0
    for step in range(1 + TIMED_STEPS):
        counter = _Kept(network)
        start = perf_counter()
        with devices.autocast(device, rules):
            if step:
                loss = functional.cross_entropy(network(images), labels)
            else:
                with torch.autograd.graph.saved_tensors_hooks(counter.keep, lambda value: value):
                    loss = functional.cross_entropy(network(images), labels)
                kept = counter.bytes
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds = perf_counter() - start
        fastest = min(fastest, seconds)
        if seconds > SLOW_STEP:
            break
    states = [value for state in optimizer.state.values() for value in state.values()]
    resident = [
        *network.parameters(),
        *network.buffers(),
        *(one.grad for one in network.parameters() if one.grad is not None),
        *(value for value in states if isinstance(value, Tensor)),
    ]
    for parameter in network.parameters():
        parameter.grad = None
    return ExpectedCost(
        parameters=cost.parameters(network),
        flops=flops,
        memory=round(
            sum(value.numel() * value.element_size() for value in resident)
            + scale * kept
            + TRAINING_IMAGES * PIXELS
        ),
        seconds=train_steps(protocol, "final", TRAINING_IMAGES) * scale * fastest,
    )


class _Kept:
    """Counts the bytes that a forward pass keeps for the backward pass, each storage once."""

    def __init__(self, network: nn.Module) -> None:
        self.bytes = 0
        self._counted = {value.untyped_storage().data_ptr() for value in network.parameters()}

    def keep(self, value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in self._counted:
            self._counted.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return value
