"""The child process in which a model is checked: it reads a request, and leaves lines of answer.

`python -P -m fmbench.testing.child FOLDER PARENT`. A model that hangs, crashes or exits takes only
this process with it, and the last line says which check it was at.
"""

import faulthandler
import os
import re
import signal
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from fmbench import files, processes
from fmbench.protocol import Protocol
from fmbench.records import Plugin
from fmbench.testing.facts import may_be_the_plugins, told, trace
from fmbench.testing.laws import LAWS
from fmbench.testing.report import Check, Report, provenance, report_of


class Request(Struct, frozen=True, kw_only=True):
    """What to check; `value` is that of the plugin's entry point."""

    model: str
    plugin: Plugin
    value: str
    protocol: Protocol


class Line(Struct, frozen=True, omit_defaults=True):
    """A check that has begun, or with a report, ended."""

    check: str
    report: Report | None = None


class ChildFolder:
    """The folder that a child works in: request.json, lines.jsonl and stuck.txt.

    stuck.txt says in which line of which file a child was when it crashed, or was asked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._request = path / "request.json"
        self._lines = path / "lines.jsonl"
        self._stuck = path / "stuck.txt"

    def write_request(self, request: Request) -> None:
        """Say what to check."""
        files.write(self._request, msgspec.json.encode(request))

    def read_request(self) -> Request:
        """What to check."""
        return msgspec.json.decode(self._request.read_bytes(), type=Request)

    def append(self, line: Line) -> None:
        """Add a line."""
        files.append_json(self._lines, line)

    def lines(self) -> list[Line]:
        """The whole lines so far."""
        return files.json_lines(self._lines, Line)[0]

    def witness_a_crash(self) -> None:
        """Have a crash, and SIGUSR1, write down where this process is."""
        file = os.open(self._stuck, os.O_WRONLY | os.O_CREAT)
        faulthandler.enable(file, all_threads=False)
        faulthandler.register(signal.SIGUSR1, file, all_threads=False)

    def where(self) -> str:
        """In which line of a plugin a child was when it crashed or was asked; "" for none."""
        try:
            frames = self._stuck.read_text("utf-8", "replace").splitlines()
        except OSError:
            return ""
        found = [match.groups() for match in map(_FRAME.match, frames) if match]
        for file, line, function in found:
            if may_be_the_plugins(file := _unescaped(file)):
                return f"{Path(file).name}, line {line}, in {function}"
        return ""


def _unescaped(path: str) -> str:
    """A path as it is; faulthandler writes characters beyond ASCII as Python escapes them."""
    return re.sub(
        r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))",
        lambda match: chr(int(match[1] or match[2] or match[3], 16)),
        path,
    )


def main(path: str, parent: str) -> None:
    """Check one model; `parent` is the pid of who asks."""
    processes.begin_as_child(int(parent))
    folder = ChildFolder(Path(path).resolve())
    folder.witness_a_crash()
    request = folder.read_request()
    plugin = provenance(request.plugin)
    at = LAWS[0].check
    try:
        import torch

        from fmbench.discovery.child import load_model, unchanged
        from fmbench.testing.checks import perform
        from fmbench.testing.subject import Subject
        from fmbench.training import devices

        if rules := request.protocol.devices.get("cpu"):
            devices.prepare("cpu", rules, torch.get_num_threads())
        subject = Subject(
            request.model,
            lambda: load_model(unchanged(request.plugin), request.model),
            request.protocol,
            value=request.value,
        )
        for law in LAWS:
            at = law.check
            folder.append(Line(at.name))
            folder.append(Line(at.name, perform(law, subject, plugin)))
    except Exception as error:  # a fault of fmbench or of what is installed, not of a check
        folder.append(Line(at.name, _broken_off(at, error, request.model, plugin)))
    os._exit(0)  # threads or exit handlers a plugin left behind do not delay the end


def _broken_off(check: Check, error: Exception, model: str, plugin: str) -> Report:
    return report_of(check, "error", told(error), model=model, plugin=plugin, trace=trace(error))


_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
