"""CUDA graphs: what work can be captured, and its capture.

By torch's documentation (https://docs.pytorch.org/docs/stable/notes/cuda.html, "CUDA Graphs"): the
work is run a few times on a side stream first, reads and writes the same tensors each time, never
lets the host read a value, and draws random numbers from the device's default generator, which a
graph registers by itself; a replay goes on from where that generator stands, and a new seed holds.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fmbench.training import devices
from fmbench.training.hidden import attributes, hidden_state
from fmbench.training.levers import UncapturableError

Work = Callable[[], None]

_READING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises `UncapturableError` at work that a graph would freeze or fail at.

    That is an operation whose result or its shape the host takes from values, and a copy from one
    device to another.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation if a graph could."""
        if _READING & set(func.tags) and not _by_numbers(func, args):
            raise UncapturableError(f"the host reads values of tensors in {func}")
        result = func(*args, **(kwargs or {}))
        if func in _COPIES:
            source = args[1] if func is _COPIES[1] else args[0]
            if source.device != result.device:
                raise UncapturableError(f"tensors go from {source.device} to {result.device}")
        return result


def _by_numbers(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether it takes elements by their numbers: then no shape depends on values."""
    if func is not torch.ops.aten.index.Tensor:
        return False
    return not any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])


def capture(
    watched: Work,
    work: Work,
    network: nn.Module,
    device: torch.device,
    *,
    before_each_try: Work = lambda: None,
) -> Work:
    """What does `work` again as one graph; on a CPU, `work` itself, tried in the same way.

    watched: the same work, not compiled, which is tried once under `Watch`.
    network: the model that works.

    Both are tried before the capture, and change what they write to. Raises `UncapturableError`
    when the work reads values, when what it draws on the host, or keeps in Python, would be frozen,
    and when the capture fails. The eager loop may follow a refusal. After a failed capture a new
    process should: before 2.12 torch takes it to be still under way (pytorch/pytorch#180395).
    """

    def tried() -> None:
        before_each_try()
        with Watch():  # type: ignore[no-untyped-call]
            watched()
        before_each_try()
        work()  # a table that is made in the first pass is there from now on
        kept, drawn = attributes(network), _host_streams(device)
        before_each_try()
        _without_waiting(work, device)
        if changed := hidden_state(kept, network):
            raise UncapturableError(f"each pass changes {changed}, which a graph would not")
        if _host_streams(device) != drawn:
            raise UncapturableError("each pass draws random numbers on the host; a graph would not")

    if device.type != "cuda":
        tried()
        return work
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):  # a failed capture does not leave it by itself
        tried()
        for parameter in network.parameters():
            parameter.grad = None  # so that gradients lie in the graph's memory
        try:
            with torch.cuda.graph(graph, stream=stream):
                work()
        except RuntimeError as error:
            if devices.out_of_memory(error):
                raise
            what = str(error).partition("\n")[0]
            raise UncapturableError(f"the capture failed: {what}") from error
    torch.cuda.current_stream(device).wait_stream(stream)
    return graph.replay


def _without_waiting(work: Work, device: torch.device) -> None:
    """Do work during which the host may not wait for the device, as a capture would not let it."""
    if device.type != "cuda":
        work()
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    except RuntimeError as error:
        if "synchronizing CUDA operation" in str(error):
            raise UncapturableError("the host waits for the device in each pass") from error
        raise
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _host_streams(device: torch.device) -> tuple[object, ...]:
    """Where the host's random streams stand; on a CPU, torch's is the device's."""
    _, keys, position, *normal = np.random.get_state()
    torchs = torch.get_rng_state().numpy().tobytes() if device.type == "cuda" else b""
    return random.getstate(), np.asarray(keys).tobytes(), position, *normal, torchs


def tensors(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers by name, persistent or not, shared ones once."""
    return [*network.named_parameters(), *network.named_buffers()]


def signature(network: nn.Module) -> object:
    """What two networks have in common if one's graph can work for the other.

    That is the classes of their modules, the plain values in their attributes, and the kinds of
    their parameters and buffers. What else an object may hide is not looked into: networks are
    taken to come from one `Builder`.
    """
    return (
        [(name, type(module), module.training) for name, module in network.named_modules()],
        attributes(network),
        [
            (name, one.shape, one.stride(), one.dtype, one.device, one.requires_grad)
            for name, one in tensors(network)
        ],
    )
