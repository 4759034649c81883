"""The protocols and the labels that a store keeps: whether they are what they call themselves."""

import functools
import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fmbench import data, files, protocol
from fmbench.data import FASHION_MNIST
from fmbench.errors import DataError, FmbenchError
from fmbench.protocol import Protocol
from fmbench.store import RECORD_BYTES, TEST_LABELS, Store
from fmbench.verification.findings import Finding


class Rules:
    """What a store's records are checked against.

    protocols: those that may be believed, by their digests.
    texts:     SHA-256 of their texts, by their files' names.
    findings:  what is wrong with files of protocols and labels, or should be known of them.
    """

    def __init__(self, store: Store) -> None:
        self.protocols: dict[str, Protocol] = {}
        self.texts: dict[str, str] = {}
        self.findings: list[Finding] = []
        self._store = store
        self._labels: dict[str, NDArray[np.uint8] | None] = {}
        for path in sorted(store.folder.glob("protocol-*.toml")):
            try:
                text = files.read_at_most(path, RECORD_BYTES)
                kept = protocol.parse(text.decode(), path.name, kept=True)
            except (OSError, ValueError, FmbenchError) as error:
                self._say("false", path.name, f"it cannot be read: {files.reason(error)}")
                continue
            wrong = list(_what_is_wrong(kept, path.name, store.folder.name))
            for what in wrong:
                self._say("false", path.name, what)
            if not wrong:
                self.protocols[kept.digest] = kept
                self.texts[path.name] = hashlib.sha256(text).hexdigest()
                self.findings += _worth_knowing(kept, path.name)

    def labels(self, of: Protocol) -> NDArray[np.uint8] | None:
        """The true test labels, uint8 (n,), verified by a protocol's digest; None without."""
        wanted = of.data.sha256.test_labels
        if wanted not in self._labels:
            try:
                self._labels[wanted] = data.read(self._store.folder, TEST_LABELS, of.data.sha256)
            except DataError as error:
                self._labels[wanted] = self._labels_elsewhere(of)
                missing = not (self._store.folder / TEST_LABELS).exists()
                if not missing:
                    self._say("false", TEST_LABELS, error.what, kind="labels")
                elif self._labels[wanted] is None:
                    self._say(
                        "unchecked", TEST_LABELS, "no accuracy: the file is missing", kind="labels"
                    )
        return self._labels[wanted]

    def _labels_elsewhere(self, of: Protocol) -> NDArray[np.uint8] | None:
        """The labels of a data set that is on this machine, which have the digest too."""
        folder = data.present()
        try:
            return data.read(folder, TEST_LABELS, of.data.sha256) if folder else None
        except DataError:
            return None

    def _say(self, level: str, where: str, what: str, *, kind: str = "protocol") -> None:
        self.findings.append(Finding(level, kind, where, what))  # type: ignore[arg-type]


def _what_is_wrong(kept: Protocol, name: str, folder: str) -> Iterator[str]:
    if name != f"protocol-{kept.digest[:8]}.toml":
        yield f"its rules have the digest {kept.digest[:8]}, another than its name says"
    if kept.id != folder:
        yield f"it is {kept.id}, in the folder of {folder}"
    if own := _built_in(kept.id):
        if own.status == "released" and own.digest != kept.digest:
            yield f"it calls itself {kept.id}, and has other rules than the one released"
        elif own.status == "draft" and kept.status == "released":
            yield f"it calls itself released, and {kept.id} is a draft"


def _worth_knowing(kept: Protocol, name: str) -> Iterator[Finding]:
    yield Finding(
        "unchecked", "protocol", name, "its comments, its summary and its status have no digest"
    )
    own = _built_in(kept.id)
    if own is None:
        yield Finding("note", "protocol", name, f"{kept.id} has rules of somebody's own")
    elif own.digest != kept.digest:
        yield Finding("note", "protocol", name, f"it is another draft of {kept.id} than this one's")
    if kept.data.sha256 != FASHION_MNIST:
        yield Finding("note", "data set", name, "its data set is not Fashion-MNIST")


@functools.cache
def _built_in(name: str) -> Protocol | None:
    return protocol.load(name) if name in protocol.names() else None
