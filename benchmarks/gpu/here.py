"""What is here: the device, versions, and whether `pytest -m gpu` and `fmbench doctor` pass."""

import importlib.metadata
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
import torch

from fmbench import environment, hardware, limits
from fmbench.training import devices
from gpu import measures
from gpu.task import ROOT, Line, Task

NEEDED = re.compile(r"[A-Za-z0-9._-]+")


def describe(task: Task) -> Iterator[Line]:
    """What is here: device, versions, unmet needs; then models' costs and the device's ceilings."""
    settings = task.settings
    found = devices.identified(hardware.find_device(settings.device))
    here = environment.describe(found, settings.threads or limits.cores())
    libraries = ("torch", "torchvision", "lightning", "timm", "triton", "numpy", "msgspec")
    yield (
        "device",
        {
            "device": msgspec.to_builtins(found),
            "digest": found.digest,
            "environment": msgspec.to_builtins(here),
            "versions": {name: environment.version(name) for name in libraries},
            "absent": sorted(absent()),
            "changed": sorted(changed()),
        },
    )
    for name in measures.models(settings):
        yield "model", {"model": name} | measures.attempt(partial(measures.costs, name))
    device = torch.device(found.torch_name)
    yield "ceiling", measures.matrix_product(device, settings.matrix)
    yield "ceiling", measures.copy(device, settings.matrix)


def absent() -> Iterator[str]:
    """What fmbench needs by its metadata, and is not installed under any version."""
    for line in importlib.metadata.requires(environment.DISTRIBUTION) or ():
        name = NEEDED.match(line)
        if name and "extra ==" not in line and not environment.version(name[0]):
            yield name[0]


def changed() -> Iterator[str]:
    """Modules of fmbench that are imported here and differ from those beside this benchmark."""
    imported = Path(environment.__file__).parent
    for path in (ROOT / "fmbench").rglob("*.py"):
        name = path.relative_to(ROOT / "fmbench")
        if not (imported / name).is_file() or (imported / name).read_bytes() != path.read_bytes():
            yield name.as_posix()


class Reporter:
    """A plugin of pytest that tells each test's outcome at once."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.counts: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a test's call, or of what kept it from being called."""
        if report.when == "call" or not report.passed:
            self.counts[report.outcome] = self.counts.get(report.outcome, 0) + 1
            said = "" if report.passed else report.longreprtext[-2000:]
            self._task.write(
                "test", test=report.nodeid, outcome=report.outcome, seconds=report.duration,
                said=said,
            )  # fmt: skip


def gpu_tests(task: Task) -> Iterator[Line]:
    """`pytest -m gpu` over the files that have such tests; a line a test."""
    files = [
        str(path)
        for path in sorted(ROOT.glob("*/**/test_*.py"))
        if "mark.gpu" in path.read_text("utf-8")
    ]
    reporter = Reporter(task)
    options = ["-m", "gpu", "-c", str(ROOT / "pyproject.toml"), "-q", *files]
    status = int(pytest.main(options, plugins=[reporter]))
    yield "tests", {"counts": reporter.counts, "status": status, "failed": status != 0}
