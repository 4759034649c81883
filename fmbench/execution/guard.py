"""The process between runner and worker: whatever a plugin starts ends with the job.

`python -m fmbench.execution.guard FOLDER RUNNER` starts the worker, adopts every descendant that
loses its parent, ends when the worker does or the runner dies, and leaves nobody behind. It says
how the worker ended in `ended.json`, because only it can tell.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import msgspec

from fmbench import files, limits, processes
from fmbench.execution.job import Ending, JobFolder
from fmbench.execution.pinning import Cores

OUT_OF_MEMORY_KILLS = Path("/proc/vmstat")


def main(path: str, runner: str) -> None:
    """Guard one worker from its start to its end; `runner` is the pid of who started this."""
    signal.signal(signal.SIGTERM, _stop)
    processes.begin_as_child(int(runner), signal.SIGTERM)
    processes.adopt_orphans()
    kills_before = _out_of_memory_kills()
    folder = JobFolder(Path(path))
    cores = Cores()  # held until this process ends
    _pin(folder, cores)
    try:
        worker = subprocess.Popen(
            [*processes.PYTHON_MODULE, "fmbench.execution.worker", path, str(os.getpid())],
            env=processes.SETTINGS | os.environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:  # no room for another process
        sys.stderr.write(f"no process can be started: {error.strerror}\n")
        files.write(folder.ending, msgspec.json.encode(Ending(status=1)))
        return
    _prefer_to_lose(worker.pid)
    status = worker.wait()
    processes.kill_descendants()
    ending = Ending(
        status=status,
        out_of_memory=status == -signal.SIGKILL and _out_of_memory_kills() > kills_before,
    )
    files.write(folder.ending, msgspec.json.encode(ending))


def _pin(folder: JobFolder, cores: Cores) -> None:
    """Stay on as many cores as a run has threads, where those are not simply all."""
    job = folder.read_job()
    if job.protocol.devices[job.device.kind].threads or job.threads < limits.cores():
        cores.pin(job.threads)


def _stop(number: int, _: FrameType | None) -> None:
    processes.kill_descendants()
    os._exit(128 + number)


def _prefer_to_lose(pid: int) -> None:
    """When this machine runs out of memory the kernel shall end the worker first."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    except OSError:
        return


def _out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since it booted."""
    try:
        lines = OUT_OF_MEMORY_KILLS.read_text().splitlines()
    except OSError:
        return 0
    counts = (line.split()[1] for line in lines if line.startswith("oom_kill "))
    return int(next(counts, "0"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
