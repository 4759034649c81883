"""How a submission is written: into a folder, or as an archive of always the same bytes."""

import gzip
import tarfile
import zipfile
from pathlib import Path

from fmbench import files
from fmbench.errors import StoreError, UsageError
from fmbench.submission.layout import KINDS, holds
from fmbench.submission.packing import Piece, Submission
from fmbench.wording import counted

ARCHIVES = (".zip", ".tar.gz", ".tgz")
MEBIBYTE = 1024 * 1024
_OLDEST = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file can hold
_MODE = 0o100644


def is_archive(output: Path) -> bool:
    """Whether that is the name of an archive, and not of a folder."""
    return output.name.lower().endswith(ARCHIVES)


def write_archive(submission: Submission, output: Path) -> None:
    """Write a .zip or .tar.gz; the same files give the same bytes, with one version of zlib.

    Raises `UsageError` when the file exists and `StoreError` when it cannot be written.
    """
    if output.is_symlink() or output.exists():
        raise UsageError("exists already", where=str(output), hint="choose another name")
    write = _write_zip if output.name.lower().endswith(".zip") else _write_tar
    with files.temporary_folder() as scratch:
        made = scratch / "submission"
        write(submission, made)
        with made.open("rb") as file:
            files.write_stream(output, iter(lambda: file.read(MEBIBYTE), b""))


def write_folder(submission: Submission, output: Path) -> list[Path]:
    """Copy the files into a folder, a clone say, and return those that were not there yet.

    A protocol that is there stays as it is: its name has its digest, and comments may differ.
    Raises `StoreError` when one of them is there and holds something else, before any is written.
    """
    new, other = [], []
    for piece in submission.pieces:
        path = output / piece.name
        if not (path.is_symlink() or path.exists()):
            new.append(piece)
        elif piece.kind != KINDS[".toml"] and not holds(path, _content(piece)):
            other.append(path)
    if other:
        raise StoreError(
            f"{counted(len(other), 'file')} there hold something else, this one first",
            where=str(other[0]),
            hint="choose another folder, or a clean clone",
        )
    for piece in new:
        files.make_folder((output / piece.name).parent)
        files.write_new(output / piece.name, _content(piece))
    return [output / piece.name for piece in new]


def _write_zip(submission: Submission, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for piece in submission.pieces:
            entry = zipfile.ZipInfo(piece.name, _OLDEST)
            entry.create_system, entry.external_attr = 3, _MODE << 16  # as written on Unix
            archive.writestr(entry, _content(piece), zipfile.ZIP_DEFLATED, 9)


def _write_tar(submission: Submission, path: Path) -> None:
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for piece in submission.pieces:
            entry = tarfile.TarInfo(piece.name)
            entry.size, entry.mode = piece.size, _MODE & 0o777
            with files.open_regular(piece.source) as content:
                archive.addfile(entry, content)


def _content(piece: Piece) -> bytes:
    return files.read_at_most(piece.source, piece.size)
