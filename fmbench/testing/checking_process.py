"""The child process in which a model is checked: it reads a request, and leaves reports.

`python -P -m fmbench.testing.checking_process FOLDER PARENT`. A model that hangs, crashes or exits
takes only this process with it. The folder holds

request.json  the model's name, its plugin and the protocol
reports.jsonl what the checks have found, appended as they end
stuck.txt     where this process was when it crashed, or was asked by SIGUSR1: `line_of_crash`
"""

import faulthandler
import os
import signal
import sys
from pathlib import Path

import msgspec

from fmbench import files, processes
from fmbench.discovery.child import load_model, unchanged
from fmbench.protocol import Protocol
from fmbench.records import Plugin
from fmbench.testing.conformance import check_all
from fmbench.testing.importing import import_model
from fmbench.testing.process_state import SideEffects

REQUEST, REPORTS, STUCK = "request.json", "reports.jsonl", "stuck.txt"
CACHES = ("XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
"""Where weights may lie that were downloaded earlier: a check has to see that they are needed."""


def main(path: str, parent: str) -> None:
    """Check one model; `parent` is the pid of who asks."""
    processes.begin_as_child(int(parent))
    processes.adopt_orphans()
    folder = Path(path).resolve()
    stuck = os.open(folder / STUCK, os.O_WRONLY | os.O_CREAT)
    faulthandler.enable(stuck, all_threads=False)
    faulthandler.register(signal.SIGUSR1, stuck, all_threads=False)
    request = (folder / REQUEST).read_bytes()
    name, plugin, protocol = msgspec.json.decode(request, type=tuple[str, Plugin, Protocol])
    _move_into(folder)
    effects = SideEffects()
    imported = import_model(lambda: load_model(unchanged(plugin), name), effects)
    from fmbench.testing.checked_model import CheckedModel  # loads torch

    for report in check_all(CheckedModel(imported, protocol, folder, effects)):
        files.append_json(folder / REPORTS, report)
    processes.kill_descendants()
    os._exit(0)  # threads or exit handlers a plugin left behind do not delay the end


def _move_into(folder: Path) -> None:
    """Work in this folder, and take an empty one in it for the user's home and its caches."""
    home = folder / "home"
    home.mkdir()
    os.chdir(folder)
    os.environ.update(HOME=str(home), TMPDIR=str(folder))
    for name in CACHES:
        os.environ.pop(name, None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
