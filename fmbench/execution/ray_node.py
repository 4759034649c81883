"""What a node of a Ray cluster does: say what is installed, and make jobs that it is sent.

Ray calls these functions in processes of its own, one process a job. Nothing here imports Ray.
"""

import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fmbench import files, hardware, processes
from fmbench.discovery.child import ChangedError, unchanged
from fmbench.discovery.entries import Entry
from fmbench.discovery.fingerprint import source_digest
from fmbench.environment import DISTRIBUTION, version
from fmbench.errors import UsageError
from fmbench.execution.job import Inputs, Job, JobFolder, Refusal, RunOutcome
from fmbench.execution.local import LocalWorker
from fmbench.records import Plugin

SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_BETWEEN_LOGS = 2.0
CARRIED = re.compile(
    r"(environment|refusal|ended)\.json|events\.jsonl|\d+/(outcome\.json|[a-z]+\.npy)"
)
"""The files of a job's folder that a runner reads; what else a plugin puts there stays."""
IN_PIECES = re.compile(r"\d+/weights\.safetensors")
"""Those that may be large, and are whole once they are there."""


class Identity(Struct, frozen=True, kw_only=True):
    """What has to be the same on every node: versions, and the sources of core and plugins."""

    python: str
    torch: str
    fmbench: str
    source: str
    plugins: tuple[str, ...]

    def difference(self, other: "Identity") -> str:
        """How another one differs from this, in words; empty when it does not."""
        if other.plugins:
            return "; ".join(other.plugins)
        for name, mine, theirs in (
            ("Python", self.python, other.python),
            ("torch", self.torch, other.torch),
            ("fmbench", self.fmbench, other.fmbench),
        ):
            if mine != theirs:
                return f"{name} {theirs or 'is missing'} there, {mine} here"
        return "" if self.source == other.source else f"fmbench {self.fmbench} with another source"


class News(Struct, frozen=True, kw_only=True):
    """What has become of a job since the last news.

    parts: of each file of the job's folder that has changed, where the new bytes begin, and they.
    log:   all that the worker has printed, where that has changed.
    ended: what its end makes of the run it was at.
    """

    parts: dict[str, tuple[int, bytes]]
    log: bytes | None = None
    ended: RunOutcome | None = None

    def encoded(self) -> bytes:
        """It as MessagePack."""
        return msgspec.msgpack.encode(self)

    def apply(self, folder: Path) -> None:
        """Put the changed files into the runner's copy of the folder; outcomes come last."""
        for name, (offset, content) in sorted(
            self.parts.items(), key=lambda part: part[0].endswith("outcome.json")
        ):
            if not (CARRIED.fullmatch(name) or IN_PIECES.fullmatch(name)):
                continue
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if offset:
                with path.open("ab") as file:
                    file.write(content)
            else:
                files.write(path, content)


def identify(plugins: Sequence[bytes]) -> bytes:
    """The identity of this node as JSON; of plugins, JSON too, only what is wrong is said."""
    wrong = []
    for plugin in (msgspec.json.decode(one, type=Plugin) for one in plugins):
        try:
            unchanged(plugin)
        except ChangedError:
            there = version(plugin.distribution)
            wrong.append(f"{plugin.distribution} {there or 'is missing'}, or with another source")
    core = Entry(DISTRIBUTION, version(DISTRIBUTION), "", "fmbench")
    return msgspec.json.encode(
        Identity(
            python=platform.python_version(),
            torch=version("torch"),
            fmbench=core.version,
            source=source_digest(core),
            plugins=tuple(wrong),
        )
    )


def work(job: bytes, inputs: dict[str, Any], memory: float, cuda: bool) -> Iterator[bytes]:
    """Make a job, and yield `News` as MessagePack until it has ended.

    job:    as JSON; its folders and its device are replaced by this node's own, but for a folder of
            checkpoints that all nodes see.
    inputs: the arrays of its stage by name, see `Inputs`.
    memory: bytes the worker is taken to need.
    """
    processes.hear_of_children()
    processes.adopt_orphans()
    clear_leftovers()
    path = files.make_folder(_base() / processes.identify().folder_name)
    worker = None
    try:
        planned = msgspec.json.decode(job, type=Job)
        stage = Inputs(path / "inputs")
        stage.write(**inputs)
        folder = JobFolder(files.make_folder(path / "job"))
        device = hardware.find_device("cuda" if cuda else "cpu")
        folder.write_job(
            msgspec.structs.replace(
                planned,
                device=device,
                inputs=str(stage.path),
                checkpoints=planned.checkpoints or str(path / "checkpoints"),
            )
        )
        worker = LocalWorker(folder, device, memory)
        yield from _news(folder.path, worker, weights=planned.keep_weights is not None)
    except UsageError as error:
        folder.refuse(Refusal(what=f"{platform.node()}: {error.what}", hint=error.hint))
        outcome = RunOutcome(status="crashed", message=error.what)
        yield News(parts=dict(_changes(folder.path, {})), ended=outcome).encoded()
    finally:
        if worker:
            worker.stop()
        shutil.rmtree(path, ignore_errors=True)


def clear_leftovers() -> None:
    """Remove the folders of jobs on this node whose process is gone."""
    if not _base().is_dir():
        return
    for folder in _base().iterdir():
        owner = processes.owner_of(folder.name)
        if owner and not owner.alive:
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # it is not empty: others are at work
        _base().rmdir()


def _news(folder: Path, worker: LocalWorker, *, weights: bool) -> Iterator[bytes]:
    sent: set[str] = set()
    seen: dict[str, tuple[int, int]] = {}
    log, logged = b"", 0.0
    ended = None
    while ended is None:
        ended = worker.ended()  # asked before the files are read, so that they are whole
        parts = dict(_changes(folder, seen))
        if weights:  # those of the outcomes that `parts` may tell of are there by now
            for piece in _pieces(folder, sent):
                yield News(parts=piece).encoded()
        told = None
        due = time.monotonic() - logged > SECONDS_BETWEEN_LOGS
        if (due or ended or parts) and (now := worker.log()) != log:
            told = log = now
            logged = time.monotonic()
        if parts or ended or told is not None:
            yield News(parts=parts, log=told, ended=ended).encoded()
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _changes(
    folder: Path, seen: dict[str, tuple[int, int]]
) -> Iterator[tuple[str, tuple[int, bytes]]]:
    """What has changed of the files a runner reads; notes size and time of what was seen."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not CARRIED.fullmatch(name):
            continue
        with suppress(OSError), files.open_regular(path) as file:  # a plugin may have made a pipe
            state = os.fstat(file.fileno())
            before = seen.get(name)
            if before == (state.st_size, state.st_mtime_ns):
                continue
            grown = before and name == "events.jsonl" and state.st_size > before[0]
            offset = before[0] if before and grown else 0
            file.seek(offset)
            content = file.read(state.st_size - offset)
            seen[name] = offset + len(content), state.st_mtime_ns
            yield name, (offset, content)


def _pieces(folder: Path, sent: set[str]) -> Iterator[dict[str, tuple[int, bytes]]]:
    """The large files not sent yet, piece by piece, one after another; notes what is sent."""
    for path in sorted(folder.glob("*/*")):
        name = path.relative_to(folder).as_posix()
        if name in sent or not IN_PIECES.fullmatch(name):
            continue
        sent.add(name)
        with suppress(OSError), files.open_regular(path) as file:
            offset = 0
            for content in files.pieces(file):
                yield {name: (offset, content)}
                offset += len(content)


def _base() -> Path:
    return Path(tempfile.gettempdir()) / f"fmbench-jobs-{os.getuid()}"
