"""What tests share: a tiny data set that can be learnt, protocols for it, plugins made to order."""

import functools
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from fmbench.data import FILES, idx

settings.register_profile("no-clock", deadline=None, database=None)
settings.load_profile("no-clock")  # no test's result depends on a clock

TRAIN, TEST = 320, 100


def pytest_configure(config: pytest.Config) -> None:
    """Give each pytest-xdist worker, and all it starts, a core of its own, and Ctrl-C its meaning.

    Two trainings that share cores wait for each other at every OpenMP barrier. What a shell starts
    in the background ignores Ctrl-C, and so would all that tests start.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[int(worker.removeprefix("gw")) % len(allowed)]})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start long tests first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


TINY = """
name = "tiny"
version = 1
summary = "For tests."
seeds = [1, 2]

[data]
mean = 0.3
deviation = 0.3
validation_images = 60
split_seed = 1

[data.sha256]
{digests}

[training]
batch_size = 16
evaluation_batch_size = 64
schedule = "one-cycle"
warmup = 0.3

[devices.cpu]
precision = "float32"

[final]
epochs = 2

[[recipes]]
name = "adamw"
optimizer = "adamw"
learning_rate = 0.01
"""


@dataclass(frozen=True)
class TinyData:
    """Four idx files of a small, learnable data set, and protocol text that names their digests."""

    folder: Path
    protocol: Path

    def variant(self, path: Path, *changes: tuple[str, str]) -> Path:
        """Write the protocol to `path` with pieces of its text replaced."""
        text = self.protocol.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return path


def tiny_images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noise with a bright block whose place says the class."""
    random = np.random.RandomState(seed)
    labels = random.permutation(np.arange(count, dtype=np.uint8) % 10)
    images = random.randint(0, 120, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[4 + 12 * row : 12 + 12 * row, 5 * column : 5 * column + 5] += 100
    return images, labels


def make_tiny(folder: Path) -> TinyData:
    """Write the tiny data set and its protocol into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = (*tiny_images(TRAIN, 1), *tiny_images(TEST, 2))
    names = ("train_images", "train_labels", "test_images", "test_labels")
    digests = []
    for file, name, array in zip(FILES, names, arrays, strict=True):
        content = idx.encode(array)
        (folder / file).write_bytes(content)
        digests.append(f'{name} = "{hashlib.sha256(content).hexdigest()}"')
    protocol = folder / "tiny.toml"
    protocol.write_text(TINY.format(digests="\n".join(digests)))
    return TinyData(folder, protocol)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    """The tiny data set on disk."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on the path of child processes that plugins can be installed into."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def install_into(
    site: Path,
    name: str,
    code: str,
    *,
    version: str = "1.0",
    entry: str = "",
    group: str = "fmbench",
    requires: str = "",
) -> None:
    """Install a distribution into `site`: a module and the real metadata an installer writes."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(textwrap.dedent(code))
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    )
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {entry or module}\n")
    (info / "RECORD").write_text(f"{module}.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")


@pytest.fixture
def install(site: Path) -> Install:
    """Install distributions into `site`."""
    return functools.partial(install_into, site)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead may wait to be buried."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


Fmbench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(site: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of child processes: `site` on the path, a cache of their own."""
    return child_environment(site, tmp_path / "cache")


def child_environment(site: Path, cache: Path) -> dict[str, str]:
    """This environment with another path, another cache, and a wide terminal without colours."""
    own = ("PYTHONUNBUFFERED", "FMBENCH_PLUGINS", "FMBENCH_DISABLE_PLUGIN_AUTOLOAD")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    return {
        **inherited,
        "PYTHONPATH": str(site),
        "XDG_CACHE_HOME": str(cache),
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "CUDA_VISIBLE_DEVICES": "",  # the tiny protocol is for a CPU
    }


@pytest.fixture
def fmbench(environment: dict[str, str], tmp_path: Path) -> Fmbench:
    """Run the command as a user would, in an empty folder."""

    def run(*arguments: object, **extra: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [Path(sys.executable).with_name("fmbench"), *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environment, **extra},
            timeout=2500,
        )

    return run
