"""The child process in which a model is checked: it reads a request, and leaves reports.

`python -P -m fmbench.testing.checking_process FOLDER PARENT`. A model that hangs, crashes or exits
takes only this process with it.
"""

import os
import sys
from pathlib import Path

from fmbench import processes
from fmbench.discovery.child import load_model, unchanged
from fmbench.testing.check_folder import CheckFolder
from fmbench.testing.conformance import CHECKS, perform
from fmbench.testing.importing import import_model
from fmbench.testing.process_state import SideEffects
from fmbench.testing.reports import told, trace

CACHES = ("XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
"""Where weights may lie that were downloaded earlier: a check has to see that they are needed."""


def main(path: str, parent: str) -> None:
    """Check one model; `parent` is the pid of who asks."""
    processes.begin_as_child(int(parent))
    processes.adopt_orphans()
    folder = CheckFolder(Path(path).resolve())
    folder.record_crashes()
    request = folder.read_request()
    _leave_home(folder.path / "home")
    effects, unmet = SideEffects(), dict[str, str]()
    load = lambda: load_model(unchanged(request.plugin), request.model)  # noqa: E731
    imported = import_model(load, effects)
    try:
        import torch

        from fmbench.testing.checked_model import CheckedModel
        from fmbench.training import devices

        if rules := request.protocol.devices.get("cpu"):
            devices.prepare("cpu", rules, torch.get_num_threads())
        model = CheckedModel(request.model, imported, request.protocol, folder.path, effects)
        for check in CHECKS:
            folder.append(perform(check, model, unmet, request.provenance))
    except Exception as error:  # a fault of fmbench or of what is installed, not of a check
        about = request.model, request.provenance
        folder.append(CHECKS[0].report(*about, "error", told(error), trace=trace(error)))
        for check in CHECKS[1:]:
            folder.append(check.report(*about, "skipped", f"needs what {CHECKS[0].name} checks"))
    processes.kill_descendants()
    os._exit(0)  # threads or exit handlers a plugin left behind do not delay the end


def _leave_home(folder: Path) -> None:
    """Take an empty folder for the user's home, and for the caches in it."""
    folder.mkdir()
    os.environ["HOME"] = str(folder)
    for name in CACHES:
        os.environ.pop(name, None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
