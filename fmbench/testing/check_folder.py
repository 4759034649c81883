"""The folder through which a command and the child that checks a model tell each other things."""

import faulthandler
import os
import re
import signal
from pathlib import Path

import msgspec
from msgspec import Struct

from fmbench import files
from fmbench.protocol import Protocol
from fmbench.records import Plugin
from fmbench.testing.reports import Report, may_be_the_plugins

FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')


class Request(Struct, frozen=True, kw_only=True):
    """What to check."""

    model: str
    plugin: Plugin
    protocol: Protocol

    @property
    def provenance(self) -> str:
        """The plugin as reports name it: distribution and version."""
        return f"{self.plugin.distribution} {self.plugin.version}"


class CheckFolder:
    """The folder that a child works in: request.json, reports.jsonl and stuck.txt.

    stuck.txt says in which line of which file a child was when it crashed, or was asked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._request = path / "request.json"
        self._reports = path / "reports.jsonl"
        self._stuck = path / "stuck.txt"

    def write_request(self, request: Request) -> None:
        """Say what to check."""
        files.write(self._request, msgspec.json.encode(request))

    def read_request(self) -> Request:
        """What to check."""
        return msgspec.json.decode(self._request.read_bytes(), type=Request)

    def append(self, report: Report) -> None:
        """Add a report."""
        files.append_json(self._reports, report)

    def reports(self) -> list[Report]:
        """The whole reports so far."""
        return files.json_lines(self._reports, Report)[0]

    def record_crashes(self) -> None:
        """Have a crash, and SIGUSR1, write down where this process is."""
        file = os.open(self._stuck, os.O_WRONLY | os.O_CREAT)
        faulthandler.enable(file, all_threads=False)
        faulthandler.register(signal.SIGUSR1, file, all_threads=False)

    def where(self) -> str:
        """In which line of a plugin a child was when it crashed or was asked; "" for none."""
        try:
            frames = self._stuck.read_text("utf-8", "replace")
        except OSError:
            return ""
        for escaped, line, function in FRAME.findall(frames):
            if may_be_the_plugins(file := escaped.encode().decode("unicode_escape")):
                return f"{Path(file).name}, line {line}, in {function}"
        return ""
