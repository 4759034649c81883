"""Scratch: where a runner keeps its jobs and inputs, and what dead runners have left."""

import contextlib
import shutil
from collections.abc import Container, Iterator
from pathlib import Path

from fmbench import files, processes
from fmbench.execution.claims import lock
from fmbench.store import Store
from fmbench.wording import memory


@contextlib.contextmanager
def scratch(store: Store) -> Iterator[Path]:
    """A folder of this process's own, removed in the end; its name says whose it is."""
    path = store.jobs.resolve() / processes.identify().folder_name
    try:
        with lock(store.claims):
            files.make_folder(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def clear_leftovers(store: Store, done: Container[str]) -> list[str]:
    """Remove what dead runners have left and no run can use; say what, in sentences.

    done: keys of runs that are not made again; checkpoints of other runs are kept for them.
    """
    with lock(store.claims):
        return _clear(store, done)


def _clear(store: Store, done: Container[str]) -> list[str]:
    said = []
    alive = False
    for folder in sorted(store.jobs.iterdir()):
        owner = processes.owner_of(folder.name) if folder.is_dir() else None
        if owner and owner.alive:
            alive = True
        elif owner:
            shutil.rmtree(folder, ignore_errors=True)
            said.append(f"removed the scratch of a runner that died: {folder.name}")
    if alive:
        return said  # what follows may be in the hands of a runner at work
    for folder in sorted(filter(Path.is_dir, store.checkpoints.iterdir())):
        if folder.name in done:
            shutil.rmtree(folder, ignore_errors=True)
            said.append(f"removed the checkpoints of a finished run: {folder.name[:8]}")
        else:
            size = memory(files.size_of_folder(folder))
            said.append(f"kept the checkpoints of an unfinished run, {size}: {folder}")
    half = [path for path in store.folder.rglob(".*.tmp") if not files.writer_lives(path)]
    for path in sorted([*store.without_record(), *half]):
        path.unlink(missing_ok=True)
        said.append(f"removed a file without its record: {path.name}")
    return said
