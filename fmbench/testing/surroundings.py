"""The global state a plugin finds and has to leave: torch's flags, random streams, the process."""

import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SEED = "seed of torch"
TORCHS_OWN = ("TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_")  # set when its compiler is imported
CUDNN = ("benchmark", "deterministic", "allow_tf32")
Flags = dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]


class Surroundings:
    """A snapshot of the working directory, the environment and, once it is loaded, torch's flags.

    Random streams are not part of it: code may draw from them. See `random_streams`.
    """

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._values = {name: read() for name, (read, _) in _flags().items()}

    def changes_since(self) -> list[str]:
        """What is different now, in words."""
        now = Surroundings()
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
        """Put everything back as it was."""
        for name, (read, write) in _flags().items():
            if name in self._values and read() != self._values[name]:
                write(self._values[name])
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)


def random_streams() -> dict[str, str]:
    """Where the random streams of Python and numpy stand, as digests; torch's has a seed to ask."""
    streams: dict[str, object] = {"random": random.getstate()}
    if "numpy" in sys.modules:
        import numpy as np

        with np.printoptions(threshold=sys.maxsize):
            streams["numpy"] = repr(np.random.get_state())
    return {
        name: hashlib.sha256(repr(state).encode()).hexdigest() for name, state in streams.items()
    }


@contextmanager
def random_streams_kept() -> Iterator[None]:
    """Put the global random streams back afterwards."""
    import numpy as np
    import torch

    numpy_state, state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(state)


def _flags() -> Flags:
    """How to read and write each flag, by its name for people."""
    flags: Flags = {"working directory": (_folder, _enter)}
    if "torch" in sys.modules:
        import torch

        of_torch: Flags = {
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
        flags |= of_torch
    return flags


def _of_cudnn(name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    import torch

    return lambda: getattr(torch.backends.cudnn, name), lambda on: setattr(
        torch.backends.cudnn, name, on
    )


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
