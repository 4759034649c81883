"""What a plugin's code must leave as it is, and the network, which it must not use."""

import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fmbench import processes

TORCHS_OWN = ("TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_")  # set when its compiler is imported


class SideEffects:
    """What a plugin's code has done beside its task, in words, each once.

    changes: of what it has to leave as it is.
    network: hosts and addresses that it has sought.
    """

    def __init__(self) -> None:
        self.changes: dict[str, None] = {}
        self.network: dict[str, None] = {}

    @contextmanager
    def during(self, moment: str, watched: Callable[[], dict[str, object]]) -> Iterator[None]:
        """Run a plugin's code without a network; put working directory and environment back.

        moment:  what the code is asked for.
        watched: says what else has to stay as it is, by its name for people.
        """
        before = _surroundings() | watched()
        with processes.kept_apart(), self._network_refused(moment):
            try:
                yield
            finally:
                after = _surroundings() | watched()
                self.changes |= {
                    f"{moment} changes {name}": None
                    for name in before | after
                    if before.get(name) != after.get(name)
                }

    @contextmanager
    def _network_refused(self, moment: str) -> Iterator[None]:
        """Refuse each look-up of a host and each connection to one."""

        def refuse(what: str) -> None:
            self.network[f"{moment} {what}"] = None
            raise ConnectionRefusedError(f"a check has no network: code {what}")

        def getaddrinfo(host: Any, *_: Any, **__: Any) -> None:
            refuse(f"looks up {host}")

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


def random_streams() -> dict[str, object]:
    """Where the random streams of Python and numpy stand; torch's has a seed to ask."""
    _, words, position, *_ = np.random.get_state()
    return {
        "the random stream of random": random.getstate(),
        "the random stream of numpy": (np.asarray(words).tobytes(), position),
    }


def _surroundings() -> dict[str, object]:
    """Working directory, environment, and the names in the home folder.

    Hidden ones are left out: those are caches and settings.
    """
    variables = {
        f"the environment variable {name}": value
        for name, value in os.environ.items()
        if not name.startswith(TORCHS_OWN)
    }
    files = {f"~/{one.name}": True for one in Path.home().glob("[!.]*")}
    return {"the working directory": os.getcwd(), **variables, **files}  # noqa: PTH109 - as text
