"""The state of the process, which a plugin's code must not change, and the network it must not use.

Torch is looked at only once it is loaded.
"""

import os
import random
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

SEED = "seed of torch"
TORCHS_OWN = ("TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_")  # set when its compiler is imported
CUDNN = ("benchmark", "deterministic", "allow_tf32")
NAMED = 3


class SideEffects:
    """What a plugin's code has done beside its task, in words, each once.

    changes: of the process's state; `during` undoes them.
    network: addresses that were sought; `during` refuses them.
    """

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.network: list[str] = []

    @contextmanager
    def during(self, moment: str, network: "nn.Module | None" = None) -> Iterator[None]:
        """Run a plugin's code; `moment` says what it is asked for.

        network: has to keep the training or evaluation mode of each of its modules.
        """
        before, modes = ProcessState(), _modes(network)
        try:
            with _network_refused(moment, self.network):
                yield
        finally:
            found = before.changes_since()
            now = _modes(network)
            if flipped := [name for name in modes if now.get(name, modes[name]) != modes[name]]:
                found.append(f"the mode of {some(flipped)}")
            said = (f"{moment} changes {what}" for what in found)
            self.changes += [one for one in said if one not in self.changes]
            before.restore()


class ProcessState:
    """A snapshot of working directory, environment, files in the home folder, and torch's flags.

    Random streams are not part of it: code may draw from them. See `random_streams`.
    """

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._values = {name: read() for name, (read, _) in _settings().items()}

    def changes_since(self) -> list[str]:
        """What is different now, in words."""
        now = ProcessState()
        found = [
            f"the {name}" + ("" if name == SEED else f" from {before} to {now._values[name]}")
            for name, before in self._values.items()
            if now._values[name] != before
        ]
        variables = sorted(
            name
            for name in self._environment.keys() | now._environment.keys()
            if self._environment.get(name) != now._environment.get(name)
            and not name.startswith(TORCHS_OWN)
        )
        return found + [f"the environment variable {name}" for name in variables]

    def restore(self) -> None:
        """Put everything back as it was, but for files and the seed."""
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        for name, (read, write) in _settings().items():
            if name in self._values and read() != self._values[name]:
                write(self._values[name])


def random_streams() -> dict[str, object]:
    """Where the random streams of Python and numpy stand; torch's has a seed to ask."""
    _, words, position, *_ = np.random.get_state()
    return {"random": random.getstate(), "numpy": (np.asarray(words).tobytes(), position)}


def some(names: list[str] | tuple[str, ...]) -> str:
    """The first of several names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def _network_refused(moment: str, sought: list[str]) -> Iterator[None]:
    """Refuse each look-up of a host and each connection to one, and note them in `sought`."""

    def refuse(what: str) -> None:
        if (words := f"{moment} {what}") not in sought:
            sought.append(words)
        raise ConnectionRefusedError(f"a check has no network: code {what}")

    def getaddrinfo(host: Any, *_: Any, **__: Any) -> None:
        refuse(f"looks up {host.decode() if isinstance(host, bytes) else host}")

    def connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple):
            refuse(f"connects to {address[0]} port {address[1]}")
        return original(self, address)  # a socket of this machine

    original, look_up = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo  # type: ignore[assignment]
    try:
        yield
    finally:
        socket.socket.connect, socket.getaddrinfo = original, look_up  # type: ignore[method-assign]


def _modes(network: "nn.Module | None") -> dict[str, bool]:
    """Whether each module is in training mode, by its name."""
    modules = network.named_modules() if network is not None else ()
    return {name or "the model": module.training for name, module in modules}


Setting = tuple[Callable[[], Any], Callable[[Any], object]]


def _settings() -> dict[str, Setting]:
    """How to read and write each setting, by its name for people."""
    settings: dict[str, Setting] = {
        "working directory": (_folder, _enter),
        "home folder": (_at_home, lambda _: None),
    }
    if "torch" in sys.modules:
        import torch

        of_torch: dict[str, Setting] = {
            SEED: (torch.initial_seed, lambda _: None),
            "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
            "default device": (lambda: str(torch.get_default_device()), _set_device),
            "number of threads": (torch.get_num_threads, torch.set_num_threads),
            "gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
            "deterministic mode": (
                torch.get_deterministic_debug_mode,
                torch.set_deterministic_debug_mode,
            ),
            "precision of matrix products": (
                torch.get_float32_matmul_precision,
                torch.set_float32_matmul_precision,
            ),
            **{f"cudnn {name} flag": _of_cudnn(name) for name in CUDNN},
        }
        settings |= of_torch
    return settings


def _of_cudnn(name: str) -> Setting:
    import torch

    cudnn = torch.backends.cudnn
    return lambda: getattr(cudnn, name), lambda on: setattr(cudnn, name, on)


def _set_device(name: str) -> None:
    import torch

    torch.set_default_device(None if name == "cpu" else name)  # what is set slows every call


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - as text
    except OSError:
        return "a folder that is gone"


def _enter(folder: str) -> None:
    with suppress(OSError):
        os.chdir(folder)


def _at_home() -> str:
    """What lies in the home folder, but for hidden names: those are caches and settings."""
    try:
        names = sorted(os.listdir(os.path.expanduser("~")))  # noqa: PTH111, PTH208 - as text
    except OSError:
        names = []
    return ", ".join(name for name in names if not name.startswith(".")) or "empty"
