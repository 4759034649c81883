"""What a pull request changes, and which of it the published results take: new records alone.

Everything in it is data of strangers: names and contents are read, and nothing is run or followed.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fmbench import files, protocol, records
from fmbench.contract import MODEL_NAME
from fmbench.errors import ProtocolError, StoreError
from fmbench.records import Record
from fmbench.store import RECORD_BYTES
from fmbench.submission.layout import (
    COMMIT,
    PROTOCOL_FILE,
    PUBLISHED,
    RECORD,
    RECORD_FILE,
    protocol_file,
    readable,
    require_fitting,
    suffixes_beside,
)

PROTOCOL_BYTES = 64 * 1024
_PIECE = 1024 * 1024
_GIT = ".git"


@dataclass
class Intake:
    """What of a pull request is taken, and what is wrong with it.

    records: the new records, by their paths within the checkout.
    taken:   paths of all files that are taken.
    refused: a sentence for each path that is not; with one of them nothing may be taken.
    """

    records: dict[str, Record] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def examine(offered: Path, base: Path) -> Intake:
    """Hold a checkout of a pull request against one of what it is to be merged into.

    Taken are new files of results/published alone: records of the protocols that the base has or
    ships, with predictions, logits, logs and protocol that fit. Whatever else differs is refused.

    Raises `StoreError` where either cannot be read, or the base has no published results.
    """
    if not (base / PUBLISHED).is_dir():
        raise StoreError(
            f"has no folder {PUBLISHED}",
            where=readable(str(base)),
            hint="name a checkout of fmbench's repository",
        )
    found = Intake()
    old, new = _entries(base), _entries(offered)
    for path in sorted(old.keys() & new.keys()):
        if old[path] != new[path]:
            found.refused.append(f"{readable(path)} is a {new[path]} now, and was a {old[path]}")
        elif old[path] == "file" and not _same(base / path, offered / path):
            found.refused.append(f"{readable(path)} is changed")
    found.refused += [f"{readable(path)} is removed" for path in sorted(old.keys() - new.keys())]
    added = sorted(new.keys() - old.keys())
    filled = {path.rpartition("/")[0] for path in added}
    protocols = _protocols(base)
    beside = []
    for path in added:
        record = RECORD_FILE.fullmatch(path)
        if new[path] == "folder":
            if path not in filled:
                found.refused.append(f"{readable(path)} is an empty folder")
        elif new[path] != "file":
            found.refused.append(f"{readable(path)} is a {new[path]}")
        elif not (record or PROTOCOL_FILE.fullmatch(path)):
            found.refused.append(f"{readable(path)} is no file of a submission")
        elif why := _wrong_protocol(offered / path, path, protocols):
            found.refused.append(f"{path} {why}")
        elif not record:
            found.taken.append(path)
        elif record[3] == RECORD:
            _take_record(found, offered / path, path, protocols)
        else:
            beside.append((path, record[3]))
    _take_what_lies_beside(found, offered, beside)
    return found


def merge(found: Intake, offered: Path, base: Path, output: Path) -> None:
    """Make a results folder of the base's published results and what is taken.

    Raises `StoreError` when it exists or cannot be written.
    """
    if output.is_symlink() or output.exists():
        raise StoreError("exists already", where=str(output), hint="choose another folder")
    try:
        shutil.copytree(base / PUBLISHED, output)
    except OSError as error:
        raise files.unwritable(output, error) from error
    for path in found.taken:
        target = output / Path(path).relative_to(PUBLISHED)
        files.make_folder(target.parent)
        size = (offered / path).lstat().st_size
        files.write_new(target, files.read_at_most(offered / path, size))


def _take_record(found: Intake, path: Path, name: str, protocols: dict[str, set[str]]) -> None:
    of, stem = name.split("/")[2], Path(name).stem
    try:
        record = records.decode(files.read_at_most(path, RECORD_BYTES))
    except (OSError, ValueError) as error:
        found.refused.append(f"{name} is not a record: {readable(files.reason(error))}")
        return
    run = record.run
    faults = {
        "is not called as its record is": record.stem != stem,
        "names a model as no plugin can": not MODEL_NAME.fullmatch(run.model),
        f"is not a record of {of}": run.protocol != of or run.protocol_digest not in protocols[of],
        "names no commit of fmbench": not COMMIT.fullmatch(record.environment.commit),
    }
    wrong = [said for said, is_so in faults.items() if is_so]
    found.refused.extend(f"{name} {said}" for said in wrong)
    if not wrong:
        found.records[name] = record
        found.taken.append(name)


def _take_what_lies_beside(found: Intake, offered: Path, beside: list[tuple[str, str]]) -> None:
    """Take what belongs to the new records; what belongs to none of them is refused.

    beside: paths, and the suffix of each.
    """
    records_by_stem = {path.removesuffix(RECORD): one for path, one in found.records.items()}
    for path, suffix in beside:
        record = records_by_stem.get(path.removesuffix(suffix))
        if record is None or suffix not in suffixes_beside(record):
            found.refused.append(f"{path} belongs to no record that is taken")
            continue
        try:
            require_fitting(offered / path, suffix, record)
        except (OSError, ValueError) as error:
            found.refused.append(f"{path} does not fit its record: {readable(files.reason(error))}")
        else:
            found.taken.append(path)


def _wrong_protocol(path: Path, name: str, protocols: dict[str, set[str]]) -> str:
    """What is wrong with the protocol that a new file is of, or that it is; empty for nothing."""
    of = name.split("/")[2]
    if of not in protocols:
        return f"is of {readable(of)}, which is no protocol of fmbench"
    if not PROTOCOL_FILE.fullmatch(name):
        return ""
    try:
        rules = protocol.parse(files.read_at_most(path, PROTOCOL_BYTES).decode(), name, kept=True)
    except (OSError, ValueError, ProtocolError) as error:
        return f"is not a protocol: {readable(files.reason(error))}"
    right = rules.digest in protocols[of] and name.endswith(f"/{protocol_file(rules)}")
    return "" if right else f"is not the protocol {of}"


def _protocols(base: Path) -> dict[str, set[str]]:
    """The digests of each protocol that fmbench ships or has published records of, by its name."""
    every = [protocol.load(name) for name in protocol.names()]
    every += [
        protocol.load(str(path)) for path in sorted((base / PUBLISHED).glob("*/protocol-*.toml"))
    ]
    found: dict[str, set[str]] = {}
    for rules in every:
        found.setdefault(rules.id, set()).add(rules.digest)
    return found


def _entries(root: Path) -> dict[str, str]:
    """What lies in a checkout, git's own folder aside: paths, and what each of them is.

    Raises `StoreError` where that cannot be read.
    """
    found = {}
    folders = [""]
    while folders:
        for entry, path in _listed(root, folders.pop()):
            if path == _GIT:
                continue
            if entry.is_symlink():
                found[path] = "link"
            elif entry.is_dir(follow_symlinks=False):
                found[path] = "folder"
                folders.append(path)
            else:
                found[path] = "file" if entry.is_file(follow_symlinks=False) else "special file"
    return found


def _listed(root: Path, folder: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                yield entry, f"{folder}/{entry.name}".lstrip("/")
    except OSError as error:
        raise StoreError(
            f"cannot be read: {error.strerror or error}",
            where=readable(str(root / folder)),
            hint="name the folders of two checkouts",
        ) from error


def _same(one: Path, other: Path) -> bool:
    """Whether two regular files have one content, compared piece by piece."""
    try:
        with files.open_regular(one) as first, files.open_regular(other) as second:
            if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
                return False
            while piece := first.read(_PIECE):
                if piece != second.read(_PIECE):
                    return False
            return not second.read(1)
    except OSError:
        return False
