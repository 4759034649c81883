"""The command `fmbench run`, as a user starts it, and what it leaves behind."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from fmbench.execution.timings import Part
from fmbench.records import Record
from fmbench.store import Store, protocols_in


@dataclass(frozen=True)
class FmbenchCommand:
    """The command with a results folder, a data folder and a path of plugins of its own."""

    folder: Path
    data_dir: Path
    device: str
    threads: int

    @property
    def site(self) -> Path:
        """Where plugins can be installed that only this command sees."""
        return self.folder / "site"

    def run(self, results: str, protocol: Path, *asked: str) -> float:
        """Run it into a results folder of that name; the seconds from its start to its end.

        asked: models or other options. Raises `CalledProcessError`, after showing what it said,
        when a run does not end well.
        """
        return self._run(results, str(protocol), *asked)[0]

    def timings(self, results: str, protocol: str, *asked: str) -> dict[Part, float]:
        """Run it and return the seconds of wall time that each part took, by its own account."""
        _, said = self._run(results, protocol, *asked, "--timings")
        seconds = dict(re.findall(r"^  (\S.*?) +([\d.]+) s +[\d.]+ %$", said, re.MULTILINE))
        return {part: float(seconds[part.value]) for part in Part}

    def _run(self, results: str, protocol: str, *asked: str) -> tuple[float, str]:
        """The seconds it took, and what it said on stderr."""
        command = [
            str(Path(sys.executable).with_name("fmbench")), "run", *asked,
            "--protocol", protocol, "--results", str(self.folder / results),
            "--data-dir", str(self.data_dir), "--device", self.device,
            "--threads", str(self.threads),
        ]  # fmt: skip
        path = [str(self.site), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        start = perf_counter()
        ended = subprocess.run(command, capture_output=True, text=True, env=environment)
        seconds = perf_counter() - start
        if ended.returncode:
            sys.stderr.write(ended.stdout + ended.stderr)
            ended.check_returncode()
        return seconds, ended.stderr

    def records(self, results: str) -> tuple[Record, ...]:
        """The records in a results folder of that name."""
        folder = self.folder / results
        return tuple(
            record
            for protocol in protocols_in(folder)
            for record in Store(folder, protocol).read().records
        )
