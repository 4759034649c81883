"""The four files are found in a fixed order, and what is fetched is verified before it counts."""

import gzip
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import pytest

from fmbench.data import FILES, debian, download, find, load, sources
from fmbench.data.idx import digest
from fmbench.errors import DataError
from fmbench.protocol import Digests

PACKED = [f"{name}.gz" for name in FILES]


def tiny() -> list[bytes]:
    """Return the contents of four small files."""
    contents = []
    for count in (20, 10):
        for array in (np.full((count, 28, 28), count), np.arange(count) % 10):
            head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}i", *array.shape)
            contents.append(head + array.astype(np.uint8).tobytes())
    return contents


DIGESTS = Digests(*map(digest, tiny()))


def put(folder: Path) -> Path:
    """Write the four files, packed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(PACKED, tiny(), strict=True):
        (folder / name).write_bytes(gzip.compress(content))
    return folder


@dataclass
class Place:
    """A machine of its own: cache, share folders, PATH, mirrors, and what was said."""

    root: Path
    said: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        """The folder of fetched files."""
        return self.root / "cache/fmbench/fashion-mnist"

    def find(self, data_dir: Path | None = None) -> Path:
        """Call `find` as the command line does."""
        return find(data_dir, progress=True, say=self.said.append, digests=DIGESTS)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a machine with no data, no network and no apt."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("FMBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path}/share-a{os.pathsep}{tmp_path}/share-b")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache/fmbench/fashion-mnist")
    monkeypatch.setattr(download, "MIRRORS", ())
    return Place(tmp_path)


class Handler(SimpleHTTPRequestHandler):
    """Serve a folder, silently."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(place: Place) -> Iterator[tuple[Path, str]]:
    """Serve the four files from a folder; yield the folder and its address."""
    folder = put(place.root / "mirror")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def apt(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an apt-get and a dpkg-deb on PATH; return the folder their package holds."""
    content = place.root / "package"
    put(content / "usr/share/datasets/fashion-mnist")
    scripts = {
        "apt-get": f"""
            echo "$PWD $*" >> {place.root}/calls
            case "$*" in
            *download*) tar -cf {debian.PACKAGE}_1_all.deb -C {content} . ;;
            *) echo 'E: one archive is down' >&2; exit 100 ;;
            esac""",
        "dpkg-deb": 'mkdir "$3" && tar -xf "$2" -C "$3"',
    }
    script(place, scripts)
    monkeypatch.setenv("PATH", f"{place.root}/bin{os.pathsep}/usr/bin{os.pathsep}/bin")
    return content


def script(place: Place, scripts: dict[str, str]) -> None:
    """Put shell scripts on PATH."""
    (place.root / "bin").mkdir(exist_ok=True)
    for name, body in scripts.items():
        (place.root / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (place.root / "bin" / name).chmod(0o755)


def test_named_folder_comes_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument beats the environment, which beats the cache, the system and the network."""
    put(place.root / "share-b/datasets/fashion-mnist")
    assert place.find() == place.root / "share-b/datasets/fashion-mnist"
    put(place.root / "share-a/datasets/fashion-mnist")
    assert place.find() == place.root / "share-a/datasets/fashion-mnist"
    put(place.cache)
    assert place.find() == place.cache
    monkeypatch.setenv("FMBENCH_DATA", str(put(place.root / "environment")))
    assert place.find() == place.root / "environment"
    assert place.find(put(place.root / "argument")) == place.root / "argument"
    assert place.said == []


def test_prefix_counts_as_system(place: Place) -> None:
    """A virtual or conda environment's share folder is looked into."""
    folder = put(place.root / "prefix/share/datasets/fashion-mnist")
    assert place.find() == folder


@pytest.mark.parametrize("through", ["argument", "environment"])
def test_named_folder_is_final(place: Place, monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    """A folder that somebody named and that lacks files is an error, not a reason to go on."""
    put(place.cache)
    folder = put(place.root / "named")
    (folder / PACKED[2]).unlink()
    if through == "environment":
        monkeypatch.setenv("FMBENCH_DATA", str(folder))
    with pytest.raises(DataError, match=FILES[2]) as caught:
        place.find(folder if through == "argument" else None)
    assert caught.value.where == str(folder)
    assert FILES[0] not in caught.value.what


def test_empty_variable_is_no_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """FMBENCH_DATA= means that it is not set."""
    put(place.cache)
    monkeypatch.setenv("FMBENCH_DATA", "")
    assert place.find() == place.cache


def test_failure_lists_every_attempt(place: Place) -> None:
    """When nothing works the error has a line with a reason for each place, and a way out."""
    (put(place.root / "share-b/datasets/fashion-mnist") / PACKED[1]).unlink()
    with pytest.raises(DataError) as caught:
        place.find()
    lines = caught.value.what.splitlines()[1:]
    assert len(lines) == 5
    assert str(place.cache) in lines[0]
    assert f"it lacks {FILES[1]}" in lines[2]
    assert "apt-get and dpkg-deb are not on PATH" in lines[4]
    assert "FMBENCH_DATA" in caught.value.hint
    assert debian.PACKAGE in caught.value.hint


def test_unwritable_cache_is_a_plain_error(place: Place) -> None:
    """A cache that cannot be made is reported as one more reason."""
    (place.root / "cache").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="the cache cannot be filled"):
        place.find()


def test_download_fills_the_cache(
    place: Place, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Downloaded files stay packed in the cache, are said aloud, and are found the next time."""
    monkeypatch.setattr(download, "MIRRORS", (mirror[1],))
    assert place.find() == place.cache
    assert sorted(path.name for path in place.cache.iterdir()) == sorted(PACKED)
    assert load(place.cache, DIGESTS).train_labels.shape == (20,)
    assert [mirror[1] in line for line in place.said] == [True, False]
    assert not list(place.cache.parent.glob("fetching-*"))
    monkeypatch.setattr(download, "MIRRORS", ())
    assert place.find() == place.cache


@pytest.mark.parametrize("fault", ["absent", "other", "cut"])
def test_bad_mirror_passes_the_rest_on(
    place: Place, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A file one mirror lacks or has wrong comes from the next, and is never kept."""
    bad = put(mirror[0] / "bad") / PACKED[2]
    monkeypatch.setattr(download, "_RETRIES", 0)
    match fault:
        case "absent":
            bad.unlink()
        case "other":
            bad.write_bytes((mirror[0] / PACKED[0]).read_bytes())
        case "cut":
            bad.write_bytes(bad.read_bytes()[:-9])
    monkeypatch.setattr(download, "MIRRORS", (f"{mirror[1]}bad/", mirror[1]))
    load(place.find(), DIGESTS)
    assert "downloading 2 files" in place.said[1]


def test_bad_mirrors_leave_nothing(
    place: Place, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no mirror has the right bytes the cache stays empty and each fault is reported."""
    (mirror[0] / PACKED[3]).write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x05"))
    monkeypatch.setattr(download, "MIRRORS", (mirror[1], f"{mirror[1]}none/"))
    monkeypatch.setattr(download, "_RETRIES", 0)
    with pytest.raises(DataError) as caught:
        place.find()
    assert f"{PACKED[3]}: its bytes are not those that [data.sha256]" in caught.value.what
    assert "HTTP status 404" in caught.value.what
    assert list(place.cache.iterdir()) == []


def test_closed_network_fails_fast(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirrors that refuse, are silent or whose name server is are not waited for to the end."""
    resolve, over = socket.getaddrinfo, threading.Event()

    def resolve_slowly(host: str, *rest: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            over.wait()
            raise socket.gaierror
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mirrors = ("http://127.0.0.1:9/", "http://x.invalid/", f"http://127.0.0.1:{port}/")
        monkeypatch.setattr(download, "MIRRORS", mirrors)
        monkeypatch.setattr(download, "_CONNECT", 0.5)
        try:
            with pytest.raises(DataError) as caught:
                place.find()
        finally:
            over.set()
    assert all(f"download: {mirror}: " in caught.value.what for mirror in mirrors)
    assert place.said == []


def test_silent_mirrors_share_one_time_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many mirrors are silent, all of them together are waited for once."""
    clock, waited = [0.0], []

    class Silent:
        def get(self, timeout: float) -> str:
            waited.append(timeout)
            clock[0] += timeout
            raise Empty

    monkeypatch.setattr(download, "_knock", lambda _: Silent())
    monkeypatch.setattr(download, "monotonic", lambda: clock[0])
    monkeypatch.setattr(download, "MIRRORS", ("http://a/", "http://b/", "http://c/"))
    with pytest.raises(DataError):
        place.find()
    assert sum(waited) == download._CONNECT


def test_package_needs_neither_root_nor_a_good_update(place: Place, apt: Path) -> None:
    """The package fills the cache; all apt writes is below it, and one dead archive is no matter.

    `apt` is a script whose update fails.
    """
    assert place.find() == place.cache
    assert load(place.cache, DIGESTS).test_labels.shape == (10,)
    assert sorted(path.name for path in place.cache.iterdir()) == sorted(PACKED)
    calls = (place.root / "calls").read_text().splitlines()
    assert [call.split()[-1] for call in calls] == ["update", debian.PACKAGE]
    assert all(call.startswith(str(place.cache.parent)) for call in calls)
    assert any(debian.PACKAGE in line for line in place.said)
    assert [path.name for path in place.cache.parent.iterdir() if path.is_dir()] == [
        place.cache.name
    ]


def test_wrong_package_is_not_kept(place: Place, apt: Path) -> None:
    """A package with other bytes in it is refused, whatever signatures it has."""
    folder = apt / "usr/share/datasets/fashion-mnist"
    (folder / PACKED[0]).write_bytes(gzip.compress(b"other"))
    with pytest.raises(DataError, match="Debian package: it is not an idx file"):
        place.find()
    assert list(place.cache.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("apt-get", "echo 'E: no such archive' >&2; exit 100", "apt-get: no such archive"),
        ("apt-get", "exit 0", "brought no dataset-fashion-mnist"),
        ("apt-get", "sleep 60", "apt-get took more than 0.2 s"),
        ("dpkg-deb", "echo broken >&2; exit 2", "dpkg-deb: broken"),
        ("dpkg-deb", "exit 3", "dpkg-deb: exit status 3"),
        ("dpkg-deb", "exit 0", "does not hold the four files"),
    ],
)
def test_failing_apt_gives_its_reason(
    place: Place, apt: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str, reason: str
) -> None:
    """What apt-get or dpkg-deb say when they fail, or that they hang, is the reason given."""
    if body.startswith("sleep"):
        monkeypatch.setattr(debian, "_PATIENCE", 0.2)
        body = f"exec {body}"
    script(place, {name: body})
    with pytest.raises(DataError, match=f"Debian package: .*{reason}"):
        place.find()


def test_leftovers_of_a_killed_fetch_do_not_count(place: Place, apt: Path) -> None:
    """A half-filled cache and the work folder of a dead process do not stop the next fetch."""
    put(place.cache.parent / "fetching-1")
    place.cache.mkdir()
    (place.cache / FILES[0]).write_bytes(tiny()[0])
    load(place.find(), DIGESTS)
    assert not (place.cache.parent / "fetching-1").exists()


def test_two_at_once_fetch_once(place: Place, apt: Path) -> None:
    """Several processes that need the data wait for one of them to fetch it."""
    threads = [threading.Thread(target=place.find) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len((place.root / "calls").read_text().splitlines()) == 2
    load(place.cache, DIGESTS)
