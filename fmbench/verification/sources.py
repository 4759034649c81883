"""The sources of plugins that are known here: those installed and those of published records."""

import contextlib

from fmbench.discovery.entries import installed
from fmbench.discovery.fingerprint import source_digest
from fmbench.store import Store, protocols_in, published


def known_sources() -> frozenset[tuple[str, str]]:
    """Distributions with the SHA-256 of their source; no plugin's code is run for it."""
    known = _published_sources()
    for entry in (one for of_one in installed().plugins.values() for one in of_one):
        with contextlib.suppress(Exception):  # whatever a broken distribution raises
            known.add((entry.distribution, source_digest(entry)))
    return frozenset(known)


def _published_sources() -> set[tuple[str, str]]:
    folder = published()
    return {
        (record.run.plugin.distribution, record.run.plugin.source)
        for name in protocols_in(folder)
        for record in Store(folder, name).read().records
    }
