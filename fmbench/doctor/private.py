"""What a report must not tell: names of hosts, users and folders."""

import getpass
import os
import platform
import re
import socket
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from fmbench.doctor.findings import Finding

QUOTED_PATH = re.compile(r"""(['"])(?:~|/|\.\.?/)[^'"\n]*\1""")
PATH = re.compile(r"(?<![\w.~/])(?:~[\w.-]*/|\.{0,2}/)(?:[^\s'\"<>|:;,()\[\]/]+/?)+")
"""From the root, the home, or the current folder, where no word ends: not `images/s`, no URL."""

PACKAGES = ("purelib", "platlib")
SHORTEST_NAME = 2


def scrubber(folders: Iterable[Path | None] = ()) -> Callable[[Finding], Finding]:
    """What takes names of hosts, users and folders out of a finding.

    folders: some that may be named, whose names may hold blanks; the home folder, the current one
             and that for temporary files are known.

    Of a path only what lies below `site-packages` is kept.
    """
    packages = [sysconfig.get_path(name) for name in PACKAGES]
    roots = sorted({str(one) for one in _folders(folders)}, key=len, reverse=True)
    names = re.compile(
        "|".join(
            rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
            for name in sorted(_names(), key=len, reverse=True)
        )
        or "(?!)",
        re.IGNORECASE,
    )

    def clean(words: str) -> str:
        for root in packages:
            words = words.replace(root, "site-packages")
        for root in roots:
            words = words.replace(root, "/PATH")
        words = QUOTED_PATH.sub(r"\1PATH\1", words)
        return names.sub("NAME", PATH.sub("PATH", words))

    def scrub(finding: Finding) -> Finding:
        return msgspec.structs.replace(finding, says=clean(finding.says), hint=clean(finding.hint))

    return scrub


def _folders(named: Iterable[Path | None]) -> Iterator[Path]:
    """Folders that may be named, as they are written and where they really are."""
    homes = (os.environ.get(name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "FMBENCH_DATA"))
    known = [Path(os.path.expanduser("~")), *(Path(home) for home in homes if home)]  # noqa: PTH111
    with suppress(OSError):
        known.append(Path.cwd())
    for folder in (*known, *filter(None, named)):
        for one in (folder, folder.absolute(), _resolved(folder)):
            if one.is_absolute() and len(one.parts) > 1:
                yield one


def _resolved(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError):
        return folder


def _names() -> set[str]:
    """Names of this host and of its user, in whole and, of a host's, their first part."""
    found = {Path(os.path.expanduser("~")).name, os.environ.get("HOSTNAME", "")}  # noqa: PTH111
    for ask in (getpass.getuser, socket.gethostname, platform.node):
        with suppress(Exception):  # a user may have no entry, a host no name
            found.add(ask())
    found |= {name.partition(".")[0] for name in found}
    return {name for name in found if len(name) >= SHORTEST_NAME}
