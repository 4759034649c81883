"""Which files a submission has, what they are called, and what each of them may hold."""

import re
from pathlib import Path

import numpy as np

from fmbench import files
from fmbench.contract import CLASSES
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.store import LOG, LOG_BYTES, LOGITS, PREDICTIONS

PUBLISHED = "results/published"
RECORD = ".json"
KINDS = {
    RECORD: "records", PREDICTIONS: "predictions", LOGITS: "logits", LOG: "logs",
    ".toml": "protocol",
}  # fmt: skip
"""What people call the files of each suffix."""

COMMIT = re.compile(r"[0-9a-f]{40}")
_SLUG = r"[a-z0-9][a-z0-9._-]{0,31}"
PROTOCOL_FILE = re.compile(rf"{PUBLISHED}/({_SLUG})/(protocol-[0-9a-f]{{8}}\.toml)")
RECORD_FILE = re.compile(
    rf"{PUBLISHED}/({_SLUG})/records/([a-z0-9][a-z0-9._+@=,-]*?-[0-9a-z]+)"
    r"(\.json|\.npy|\.logits\.npy|\.log)"
)
"""Names of lower-case ASCII letters, digits and few marks: none clashes with another anywhere."""


def protocol_file(protocol: Protocol) -> str:
    """What the file is called that a store keeps a protocol in."""
    return f"protocol-{protocol.digest[:8]}.toml"


def suffixes_beside(record: Record) -> tuple[str, ...]:
    """What may lie beside a record: predictions and logits of a good final run, a log of any."""
    return (PREDICTIONS, LOGITS, LOG) if record.ok and record.run.stage == "final" else (LOG,)


def require_fitting(path: Path, suffix: str, record: Record) -> None:
    """Read a file that lies beside a record, as one that holds what belongs there.

    No link is followed, no pipe waited for, nothing unpickled, and no more read than belongs there.
    Raises `ValueError` when it holds anything else, and `OSError` when it cannot be read.
    """
    if suffix == PREDICTIONS:
        files.read_npy(path, np.uint8, (record.result.images,))
    elif suffix == LOGITS:
        files.read_npy(path, np.float16, (record.result.images, CLASSES))
    else:
        files.read_at_most(path, LOG_BYTES)


def holds(path: Path, content: bytes) -> bool:
    """Whether that is a regular file of that content."""
    try:
        return files.read_at_most(path, len(content)) == content
    except (OSError, ValueError):
        return False


def readable(path: str) -> str:
    """A path from anywhere on one line, which can be read and cannot be taken for anything else."""
    return path if path.isprintable() else ascii(path)
