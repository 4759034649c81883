"""Where the four files are: a folder that is named, the cache, the system, the network."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fmbench.data import debian, download
from fmbench.data.dataset import FASHION_MNIST, FILES, locate, missing, read
from fmbench.errors import DataError
from fmbench.protocol import Digests

VARIABLE = "FMBENCH_DATA"
FOLDER = "fashion-mnist"
_HINT = (
    f"run where there is a network, put the four files into a folder and set {VARIABLE}=FOLDER,"
    f" or on Debian and Ubuntu type: apt-get install {debian.PACKAGE}"
)


def find(
    data_dir: Path | None = None,
    *,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
    digests: Digests = FASHION_MNIST,
) -> Path:
    """Return a folder that holds the four files, plain or .gz, fetching them if need be.

    The first of: `data_dir`, or else the folder in the environment's FMBENCH_DATA (nothing else is
    tried when either is given); the user's cache; datasets/fashion-mnist in the system's share
    folders; a download into the cache; the Debian package, unpacked into the cache.

    progress: show a bar on stderr during a download, if that is a terminal.
    say:      called with a line about each thing done over the network.
    digests:  what fetched files must be; files found here are verified by `load`.

    Raises `DataError` listing all that was tried, each with its reason.
    """
    named = data_dir or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        if lacks := _lacks(named):
            hint = "name the folder that holds the four files, plain or .gz"
            raise DataError(lacks, where=str(named), hint=hint)
        return named
    tried = []
    cache = cache_folder()
    for folder in _folders(cache):
        lacks = _lacks(folder)
        if not lacks:
            return folder
        tried.append(f"{folder}: {lacks}")
    if cache:
        tried += _fill(cache, digests, progress, say)
    else:
        tried.append("the user's cache: there is no home folder, and XDG_CACHE_HOME is not set")
    if cache is None or missing(cache):
        lines = "".join(f"\n  {line}" for line in tried)
        raise DataError(f"Fashion-MNIST was not found. Tried:{lines}", hint=_HINT)
    return cache


def present() -> Path | None:
    """Return the folder `find` would return without fetching anything, or None."""
    named = os.environ.get(VARIABLE)
    folders = [Path(named)] if named else _folders(cache_folder())
    return next((folder for folder in folders if not _lacks(folder)), None)


def cache_folder() -> Path | None:
    """Return the user's folder for downloaded files, whether or not it exists; None without one."""
    from fmbench import cache

    folder = cache.folder()
    return folder and folder / FOLDER


def _folders(cache: Path | None) -> list[Path]:
    return [*([cache] if cache else []), *system_folders()]


def system_folders() -> list[Path]:
    """Return where a system-wide installation may have put the files, best first."""
    shares = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(os.pathsep)
    folders = [Path(share) / "datasets" / FOLDER for share in (*shares, f"{sys.prefix}/share")]
    return [folder for folder in dict.fromkeys(folders) if folder.is_absolute()]


def _lacks(folder: Path) -> str:
    """Say which files are not in `folder`, or ""."""
    try:
        if not folder.is_dir():
            return "there is no such folder"
        absent = missing(folder)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except DataError as error:
        return error.what
    return f"it lacks {', '.join(absent)}" if absent else ""


def _fill(cache: Path, digests: Digests, progress: bool, say: Callable[[str], None]) -> list[str]:
    """Fetch verified files into the cache; return what failed on the way, a line each.

    One process at a time, so several that start together fetch once.
    """
    from filelock import FileLock, Timeout

    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache.with_name("fetching.lock"))
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            say("waiting for another fmbench that is fetching the data set")
            held = lock.acquire()
        with held:
            return _fetch(cache, digests, progress, say) if missing(cache) else []
    except OSError as error:
        where = error.filename or cache
        return [f"the cache cannot be filled: {where}: {error.strerror or error}"]


def _fetch(cache: Path, digests: Digests, progress: bool, say: Callable[[str], None]) -> list[str]:
    """Try one way after another, each in a new folder beside the cache.

    So nobody reads a file that is being written, a killed fetch leaves nothing that looks whole,
    and its orphans, which may still be writing, write elsewhere.
    """
    ways: dict[str, Callable[[Path], Path]] = {
        "download": lambda work: download.fetch(work, digests, progress=progress, say=say),
        "Debian package": lambda work: debian.fetch(work, say),
    }
    for leftover in cache.parent.glob("fetching-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    failed: list[str] = []
    for name, fetch in ways.items():
        work = Path(tempfile.mkdtemp(prefix="fetching-", dir=cache.parent))
        try:
            _place(fetch(work), cache, digests)
            say(f"the data set is in {cache}")
            return []
        except DataError as error:
            failed += [f"{name}: {line}" for line in error.what.splitlines()]
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return failed


def _place(folder: Path, cache: Path, digests: Digests) -> None:
    """Move the four files of `folder` into the cache once all of them are verified."""
    for name in FILES:
        read(folder, name, digests)
    for source in filter(None, (locate(folder, name) for name in FILES)):
        with source.open("rb+") as file:
            os.fsync(file.fileno())
        source.replace(cache / source.name)
