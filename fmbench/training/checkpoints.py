"""Checkpoints of a run under way: tensors in safetensors, the rest in JSON, nothing pickled."""

from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import safetensors.torch
import torch
from msgspec import Struct
from safetensors import SafetensorError
from torch import Tensor, nn

from fmbench import files
from fmbench.training.hidden import attributes
from fmbench.training.states import encoded, obstacle, put, storable

KEPT = 2


class Saved(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a checkpoint holds beside tensors.

    seconds:  training time so far.
    threads:  the CPU threads it was trained with: other sums are other bits.
    device:   the digest of the device it was trained on, likewise.
    sha256:   of the tensor file that belongs to it.
    aliases:  names of the model's state whose tensor is stored under another name, shared with it.
    groups:   the optimiser's parameter groups without their parameters.
    schedule: the schedule's state.
    """

    curve: tuple[float, ...]
    seconds: float
    threads: int
    device: str = ""
    sha256: str
    aliases: dict[str, str]
    groups: list[dict[str, Any]]
    schedule: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run in a folder: the newest, and the one before it.

    interval: seconds from the run's start, or the last checkpoint, after which one is due.
    device:   the digest of the device that trains. A run does not go on from a checkpoint of
              another one, or of another number of threads: it would be a run of neither.
    """

    def __init__(self, folder: Path, interval: float, *, device: str = "") -> None:
        self.folder = folder
        self.interval = interval
        self._device = device
        self._last = monotonic()
        self._fresh: dict[str, dict[str, str]] = {}

    @property
    def due(self) -> bool:
        """Whether the interval is over."""
        return monotonic() - self._last >= self.interval

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        *,
        curve: list[float],
        seconds: float,
    ) -> None:
        """Keep the state after the epochs of `curve`; its JSON file comes last, the mark of commit.

        A model with an `obstacle` gets none: it could not go on to the bit. Raises `StoreError`
        when it cannot be written.
        """
        if obstacle(self._fresh, model):
            return
        tensors, aliases = _unshared(model.state_dict())
        for number, parameter in enumerate(_parameters(optimizer)):
            of_parameter = optimizer.state.get(parameter, {})
            for name, value in of_parameter.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{name}"] = value
        if not all(map(storable, tensors.values())):
            return
        epoch = len(curve)
        files.make_folder(self.folder)
        saved = Saved(
            curve=tuple(curve),
            seconds=seconds,
            threads=torch.get_num_threads(),
            device=self._device,
            sha256=files.write_stream(self._tensors(epoch), encoded(tensors)),
            aliases=aliases,
            groups=[
                {name: value for name, value in group.items() if name != "params"}
                for group in optimizer.param_groups
            ],
            schedule=schedule.state_dict(),
        )
        files.write(self._json(epoch), msgspec.json.encode(saved))
        # Later epochs, made with other threads or spoilt, may serve whoever comes after.
        for old in [known for known in self._epochs() if known <= epoch][:-KEPT]:
            self._json(old).unlink()
            self._tensors(old).unlink(missing_ok=True)
        self._last = monotonic()

    def restore(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> Saved | None:
        """Put the newest whole checkpoint into these, in place; None when there is none.

        Called once, before training, also to note what the fresh model is like. Tensors keep the
        memory layout they have here, so that what follows is bit for bit what an uninterrupted run
        computes.
        """
        self._fresh = attributes(model)
        for epoch in reversed(self._epochs()):
            try:
                saved, tensors = self._read(epoch)
                for name, other in saved.aliases.items():
                    tensors[f"model.{name}"] = tensors[f"model.{other}"]
                on_host = set() if _counts_on_device(optimizer) else {"step"}
                states = {
                    parameter: {
                        name: value if name in on_host else _laid_out_as(parameter, value)
                        for name, value in _under(f"optimizer.{number}.", tensors).items()
                    }
                    for number, parameter in enumerate(_parameters(optimizer))
                }
                put(model, _under("model.", tensors))  # last: what fails before leaves it fresh
            except (OSError, ValueError, KeyError, RuntimeError, SafetensorError):
                continue  # spoilt, or of another model, device or thread count
            optimizer.state.update(states)
            for group, known in zip(optimizer.param_groups, saved.groups, strict=True):
                group.update(known)
                if "betas" in known:
                    group["betas"] = tuple(known["betas"])
            schedule.load_state_dict(saved.schedule)
            return saved
        return None

    def _read(self, epoch: int) -> tuple[Saved, dict[str, Tensor]]:
        saved = msgspec.json.decode(self._json(epoch).read_bytes(), type=Saved)
        if files.digest_of_file(self._tensors(epoch)) != saved.sha256:
            raise ValueError("the tensors are not those the checkpoint was made with")
        if saved.threads != torch.get_num_threads():
            raise ValueError("it was made with another number of threads")
        if saved.device != self._device:
            raise ValueError("it was made on another device")
        return saved, safetensors.torch.load_file(self._tensors(epoch))

    def _epochs(self) -> list[int]:
        names = (path.stem.removeprefix("epoch-") for path in self.folder.glob("epoch-*.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _json(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch}.json"

    def _tensors(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch}.safetensors"


def _unshared(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors under `model.`, and which names share the tensor of another name."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, value in state.items():
        place = (value.data_ptr(), value.shape, value.stride())
        if value.numel() and place in first:
            aliases[name] = first[place]
        else:
            first[place] = name
            tensors[f"model.{name}"] = value
    return tensors, aliases


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _counts_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Whether steps are counted where the parameters are; else the host reads the count each step.

    See "special device hosting for step" in torch/optim/optimizer.py.
    """
    return any(optimizer.defaults.get(name) for name in ("fused", "capturable"))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A stored tensor on the parameter's device, and in its memory layout if it has its shape."""
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value.to(parameter.device)
