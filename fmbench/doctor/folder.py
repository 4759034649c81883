"""The results folder: whether records can be placed there, and what dead runners have left."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fmbench import files, processes
from fmbench.doctor.findings import Finding
from fmbench.errors import StoreError
from fmbench.execution.claims import Claim, lock
from fmbench.store import Store
from fmbench.wording import counted, memory

LITTLE_ROOM = 5 * 10**9
"""The checkpoints of one vgg11 take 1.5 GB, and they are replaced by new ones, not overwritten."""

APART = 2.0
"""Seconds that a file system's clock may differ from this machine's; some store even seconds."""


def results(folder: Path) -> Iterator[Finding]:
    """Whether records can be placed in a results folder; all that is written there is removed."""
    place = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
    said = "it is there" if place == folder else "it is not there yet, and can be made"
    hint = "choose another folder with --results"
    try:
        with tempfile.TemporaryDirectory(prefix=".fmbench-doctor-", dir=place) as name:
            probe = Path(name)
            now = time.time()
            files.require_hard_links(probe)
            with lock(probe):
                pass
            apart = (probe / "lock").stat().st_mtime - now
    except StoreError as error:
        said = f"records cannot be placed there: it {error.what}"
        yield Finding(about="results", level="fault", says=said, hint=hint)
        return
    except OSError as error:
        said = f"records cannot be placed there: {error.strerror or type(error).__name__}"
        yield Finding(about="results", level="fault", says=said, hint=hint)
        return
    yield Finding(about="results", says=f"{said}; hard links and locks work")
    if abs(apart) > APART:
        yield Finding(
            about="results",
            level="warning",
            says=f"the clock of its file system is {abs(apart):.0f} s apart from this machine's",
            hint="set both clocks, by NTP say",
        )


def disk(folder: Path) -> Iterator[Finding]:
    """The room for records and checkpoints, and that for temporary files."""
    place = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
    for about, where in (("disk", place), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(where).free
        if about == "disk" and free < LITTLE_ROOM:
            yield Finding(
                about=about,
                level="warning",
                says=f"{memory(free)} are free for results",
                hint="remove something: a checkpoint of vgg11 takes 1.5 GB while the next is made",
            )
        else:
            yield Finding(about=about, says=f"{memory(free)} are free")


def leftovers(folder: Path) -> Iterator[Finding]:
    """Who works on a results folder, what dead runners have left, and files that are no records."""
    if not folder.is_dir():
        return
    for path in sorted(one for one in folder.iterdir() if (one / "records").is_dir()):
        yield from _of_protocol(Store(folder, path.name))


def _of_protocol(store: Store) -> Iterator[Finding]:
    about = f"results, {store.folder.name}"
    contents = store.read()
    claims = [files.read_json(path, Claim) for path in store.claims.glob("*.json")]
    owners = [processes.owner_of(path.name) for path in _inside(store.jobs)]
    at_work = {one.runner for one in claims if one and one.alive}
    at_work |= {owner for owner in owners if owner and owner.alive}
    dead = sum(one is None or not one.alive for one in claims)
    dead += sum(owner is not None and not owner.alive for owner in owners)
    said = counted(len(contents.records), "record")
    if at_work:
        said += f"; {counted(len(at_work), 'runner')} at work"
    yield Finding(about=about, says=said)
    if contents.problems:
        yield Finding(
            about=about,
            level="warning",
            says=f"{counted(len(contents.problems), 'file')} cannot be read as records",
            hint="fmbench show names them; remove them, or copy them anew",
        )
    if dead:
        yield Finding(
            about=about,
            level="warning",
            says=f"{counted(dead, 'claim')} or scratch of runners that died",
            hint="nothing is lost: the next fmbench run there goes on with their runs",
        )


def _inside(folder: Path) -> list[Path]:
    try:
        return [*folder.iterdir()]
    except OSError:
        return []
