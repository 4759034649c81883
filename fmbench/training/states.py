"""State dicts as safetensors: written tensor by tensor, and put back into a network."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import safetensors.torch
import torch
from torch import Tensor, nn

from fmbench import files, weights
from fmbench.errors import StoreError
from fmbench.protocol import Protocol
from fmbench.records import Run
from fmbench.training.hidden import attributes, bytes_of, hidden_state

_TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64",
}  # fmt: skip


class Keeper:
    """Keeps the weights of a network that is about to be trained, once it is.

    kind: float32 as they are; bf16 with tensors of two or more dimensions rounded to bfloat16, half
          the size. Biases, and what normalisation learns and counts, take little room and stay.
    """

    def __init__(self, network: nn.Module, kind: weights.Kind) -> None:
        self._network = network
        self._kind = kind
        self._fresh = attributes(network.train())  # some keep tables while they are evaluated

    def keep(self, path: Path, run: Run, protocol: Protocol) -> str:
        """Write the weights; returns why they are not kept, empty when they are.

        A tensor that has several names is stored under each: whoever loads them needs to know
        nothing of that.
        """
        if lacking := obstacle(self._fresh, self._network):
            return f"they would lack {lacking}"
        state = self._network.state_dict()
        rounded = self._kind == "bf16"
        types = {
            name: torch.bfloat16
            if rounded and value.is_floating_point() and value.dim() > 1
            else value.dtype
            for name, value in state.items()
        }
        try:
            files.make_folder(path.parent)
            files.write_stream(path, encoded(state, types, weights.metadata(run, protocol)))
        except StoreError as error:  # the run is none the worse
            return f"the file {error.what}"
        return ""


def load(network: nn.Module, path: Path) -> None:
    """Put kept weights into a network, which keeps its own dtypes.

    Raises `ValueError` when the file holds other names or shapes, and as safetensors does when it
    is none of its files.
    """
    put(network, safetensors.torch.load_file(path))


def put(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put a state into a model that has exactly such tensors.

    Raises `ValueError` before anything is touched: torch would first copy all that fits.
    """
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if shapes != {name: value.shape for name, value in state.items()}:
        raise ValueError("the model's state has other names or shapes")
    model.load_state_dict(state)


def obstacle(fresh: dict[str, dict[str, str]], trained: nn.Module) -> str:
    """Name what the stored state of a model would lack; "" when there is nothing.

    That is state that training has changed outside the state dict, see `hidden_state`, or what in
    the state dict safetensors cannot hold.
    """
    if hidden := hidden_state(fresh, trained):
        return f"{hidden}, which is not in the state dict"
    unstorable = (name for name, value in trained.state_dict().items() if not storable(value))
    return next((f"{name} in the state dict, which is no plain tensor" for name in unstorable), "")


def storable(value: object) -> bool:
    """Whether safetensors can hold it: a plain tensor, dense and with values, of a known dtype."""
    return (
        isinstance(value, Tensor)
        and value.dtype in _TYPES
        and value.layout == torch.strided
        and not (value.is_meta or value.is_nested or value.is_quantized)
    )


def encoded(
    tensors: Mapping[str, Tensor],
    types: Mapping[str, torch.dtype] | None = None,
    about: Mapping[str, str] | None = None,
) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, tensor by tensor: the library would hold all of them twice.

    types: the dtype that each is stored as; its own by default.
    about: the file's metadata.

    The length of a header, the header in JSON, and the values in C order
    (https://github.com/huggingface/safetensors, "Format").
    """
    types = types or {name: value.dtype for name, value in tensors.items()}
    header: dict[str, object] = {"__metadata__": dict(about)} if about else {}
    end = 0
    for name, value in tensors.items():
        begin, end = end, end + value.numel() * types[name].itemsize
        header[name] = {
            "dtype": _TYPES[types[name]],
            "shape": list(value.shape),
            "data_offsets": [begin, end],
        }
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name, value in tensors.items():
        yield bytes_of(value.detach().to(types[name]))
