"""The data set from the package archive of Debian and its children, without being root."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from fmbench.data.dataset import FILES, missing
from fmbench.errors import DataError

PACKAGE = "dataset-fashion-mnist"
_PATIENCE = 300  # seconds for each command; the package has 31 MB

# Everything apt writes goes below one folder, and the machine's own hooks do not run: they are
# root's. Only a file can clear a list, so this is one and not a row of -o options.
# The sandbox user gives way because root's cache is closed to it.
_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State::Lists "{work}/lists";
Dir::Cache "{work}/cache";
Dir::Log "{work}/log";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb-src::Sources::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "1";
Acquire::http::Timeout "10";
Acquire::https::Timeout "10";
"""


def fetch(work: Path, say: Callable[[str], None]) -> Path:
    """Fetch the package with apt-get, unpack it below `work`, return the folder with the files.

    `work` is an empty folder, and the only place written to; no root, no installation, no lock of
    the system's. apt checks the archive's signatures. Raises `DataError` with the reason.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("apt-get and dpkg-deb are not on PATH")
    if any(character in str(work) for character in '"\\\n'):
        raise DataError(f"apt-get cannot use a folder named {work}")
    say(f"fetching the Debian package {PACKAGE} with apt-get (31 MB, needs no root)")
    for folder in ("lists/partial", "cache/archives/partial", "log"):
        (work / folder).mkdir(parents=True)
    configuration = work / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(work=work))
    apt = ["apt-get", "-q", "-c", str(configuration)]
    # A fault in one of the machine's other archives fails the update; the download decides.
    update = _complaint(work, *apt, "update")
    download = _complaint(work, *apt, "download", PACKAGE)
    package = next(work.glob(f"{PACKAGE}_*.deb"), None)
    if package is None:
        raise DataError(update or download or f"apt-get brought no {PACKAGE}")
    unpacked = work / "unpacked"
    if complaint := _complaint(work, "dpkg-deb", "-x", str(package), str(unpacked)):
        raise DataError(complaint)
    for found in unpacked.rglob(f"{FILES[0]}*"):
        if not missing(found.parent):
            return found.parent
    raise DataError(f"the package {PACKAGE} does not hold the four files")


def _complaint(work: Path, *command: str) -> str:
    """Run a command in `work`; return "" or, if it fails, what it said about that in one line."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name} took more than {_PATIENCE} s"
    except OSError as error:
        return f"{name} does not run: {error.strerror}"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    said = (errors or lines[-1:] or [f"exit status {done.returncode}"])[0]
    return f"{name}: {said}"
