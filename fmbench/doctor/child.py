"""Children of the doctor: started, waited for, and ended with all that they have started."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fmbench import processes


def ended(
    module: str, folder: Path, seconds: float, variables: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Run a module on a folder; how it ended, in words, when that was not well or in time.

    variables: of the child's environment, besides this process's own.
    """
    child = processes.start(module, folder, **variables)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"it was still busy after {seconds:g} s"
    finally:
        processes.end(child)
    return f"it ended with {processes.how_it_ended(child.returncode)}" if child.returncode else ""
