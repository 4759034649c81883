"""What watched code reaches for: the network, and files outside its folder; by audit hooks.

Python tells an audit hook of every file it opens and every address it connects to. What native
code does by itself it does not tell, so torch's and safetensors' writers are told of here; of
programs that watched code starts nothing is known.
"""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

NETWORK = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
}
"""Audit events of the network, and which of their arguments holds the address."""

CHANGES = {
    "os.mkdir": ("makes", ((0, 2),)),
    "os.remove": ("removes", ((0, 1),)),
    "os.rmdir": ("removes", ((0, 1),)),
    "os.rename": ("renames", ((0, 2), (1, 3))),
    "os.link": ("links", ((1, 3),)),
    "os.symlink": ("links", ((1, 2),)),
    "os.truncate": ("cuts", ((0, None),)),
    "os.chmod": ("changes", ((0, 2),)),
    "os.chown": ("changes", ((0, 3),)),
    "os.utime": ("changes", ((0, 3),)),
    "sqlite3.connect": ("opens", ((0, None),)),
}
"""Audit events that change files: a verb, and which arguments hold a path and its folder's fd."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HARMLESS = ("/dev/", "/proc/")
TORCHS_CACHE = "TORCHINDUCTOR_CACHE_DIR"
BYTECODE = "__pycache__"
NATIVE_WRITERS = (("torch._C", "PyTorchFileWriter", 0), ("safetensors.torch", "serialize_file", 1))


class RefusedError(OSError):
    """Raised in watched code in place of a call on the network."""


class Watch:
    """Records what code does while it is watched. The network is refused, a write is not.

    folder:  where code may write.
    network: what it wanted from the network, in words; each once.
    writes:  what it changed elsewhere, likewise.
    """

    def __init__(self, folder: Path) -> None:
        self.network: list[str] = []
        self.writes: list[str] = []
        self._folder = os.path.realpath(folder) + "/"
        self._moment = ""
        self._others: set[int | None] = set()

    @contextmanager
    def on(self, moment: str) -> Iterator[None]:
        """Watch this thread, and threads it starts; `moment` says when, for instance `build`."""
        others = {thread.ident for thread in threading.enumerate()}
        self._others = others - {threading.get_ident()}
        self._moment = moment
        with _native_writers_told():
            before, _HOOK.watch = _HOOK.watch, self
            try:
                yield
            finally:
                _HOOK.watch = before

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an audit event; raises `RefusedError` for one of the network."""
        if threading.get_ident() in self._others:
            return
        if event in NETWORK:
            self._see_network(event, arguments[NETWORK[event]])
        elif event == "open":
            if (path := _path(arguments[0])) and arguments[2] & WRITING:
                self._see_change("writes", os.path.realpath(path))
        else:
            verb, places = CHANGES[event]
            for place, folder in places:
                path = _path(arguments[place], arguments[folder] if folder is not None else -1)
                if not path:
                    continue
                parent, name = os.path.split(path)
                where = os.path.join(os.path.realpath(parent), name)  # noqa: PTH118
                if event == "os.mkdir" and os.path.isdir(where):  # noqa: PTH112
                    continue  # it fails; made sure with exist_ok
                self._see_change(verb, where)

    def _see_network(self, event: str, address: object) -> None:
        if event in ("socket.getaddrinfo", "socket.gethostbyname"):
            sought = f"looks up {_text(address)}"
        elif isinstance(address, tuple) and isinstance(address[0], str):
            sought = f"connects to {address[0]} port {address[1]}"
        else:  # a socket of this machine, or one that is connected already
            return
        _note(self.network, f"{self._moment} {sought}")
        raise RefusedError(f"a check stands for the network: code {sought}")

    def _see_change(self, verb: str, path: str) -> None:
        if BYTECODE in Path(path).parts or path.startswith(HARMLESS):
            return
        compilers = os.environ.get(TORCHS_CACHE)
        allowed = [self._folder, *([os.path.realpath(compilers) + "/"] if compilers else [])]
        if not f"{path}/".startswith(tuple(allowed)) and not _finalizing():
            _note(self.writes, f"{self._moment} {verb} {path}")


class _Hook:
    """The one audit hook of this process; it cannot be removed, so it is mostly off."""

    def __init__(self) -> None:
        self.watch: Watch | None = None
        self._installed = False

    def install(self) -> None:
        if not self._installed:
            self._installed = True
            sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watch is not None and (event == "open" or event in NETWORK or event in CHANGES):
            self.watch.see(event, arguments)


_HOOK = _Hook()


@contextmanager
def _native_writers_told() -> Iterator[None]:
    """Let writers in native code raise the audit event that Python's `open` does."""
    _HOOK.install()
    replaced = []
    for module_name, name, place in NATIVE_WRITERS:
        if module := sys.modules.get(module_name):
            replaced.append((module, name, getattr(module, name)))
            setattr(module, name, _told(getattr(module, name), place))
    try:
        yield
    finally:
        for module, name, writer in replaced:
            setattr(module, name, writer)


def _finalizing() -> bool:
    """Whether this is the clean-up of an object that just happens to be collected now."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == weakref.__file__:
            return True
        frame = frame.f_back
    return False


def _told(writer: Callable[..., Any], place: int) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if len(arguments) > place and isinstance(arguments[place], str | bytes | os.PathLike):
            sys.audit("open", arguments[place], "w", WRITING)
        return writer(*arguments, **named)

    return call


def _path(value: object, folder: int = -1) -> str:
    """A path as text, absolute; empty for a file descriptor."""
    if not isinstance(value, str | bytes | os.PathLike):
        return ""
    path = os.fsdecode(value)
    if folder >= 0:
        try:
            return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)  # noqa: PTH115, PTH118
        except OSError:
            return ""
    return os.path.abspath(path)  # noqa: PTH100


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _note(notes: list[str], note: str) -> None:
    if note not in notes and len(notes) < 20:
        notes.append(note)
