"""Processes by pid and start time, so that a pid used again is not taken for the old one."""

import contextlib
import ctypes
import faulthandler
import io
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NoReturn

import psutil
from msgspec import Struct

PYTHON_MODULE = (sys.executable, "-u", "-P", "-m")
"""Starts a module in a child.

-u: what a plugin prints is there at once, and not lost with the process; -P: what lies in the
current folder is not imported.
"""

SETTINGS = {
    "GOMP_SPINCOUNT": "1000",
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    "TRITON_BACKENDS_IN_TREE": "1",
}
"""Environment variables of children that import torch, where they are not set.

The first says how often OpenMP's threads spin at a barrier before they sleep. As it is, they spin
for long: best on an idle machine, and bad on a busy one. This costs little there and helps here.
The others keep torch and Triton from looking through all installed distributions for backends of
devices that no protocol knows: they fail at the first whose metadata is broken.
"""

MARK = "FMBENCH_JOB"
"""The environment variable that tells the processes of one job from all others."""

IDLE_SECONDS = 5.0
"""How long a fork may sleep without a moment of work before it is taken to wait for ever."""

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class ProcessId(Struct, frozen=True):
    """A process: its pid, and when it was started, in seconds since the machine was."""

    pid: int
    started: float

    @property
    def folder_name(self) -> str:
        """The name of a folder of its own; see `owner_of`."""
        return f"{self.pid}-{self.started * 1000:.0f}"

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            zombie = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            return not zombie and abs(_started(self.pid) - self.started) < 0.1
        except psutil.Error:
            return False


def identify(pid: int | None = None) -> ProcessId:
    """The identity of a running process, or of this one."""
    pid = pid or os.getpid()
    return ProcessId(pid, _started(pid))


def owner_of(name: str) -> ProcessId | None:
    """The process whose folder has this name; None for what none has named, a file manager say."""
    pid, _, moment = name.partition("-")
    known = pid.isdecimal() and moment.isdecimal()
    return ProcessId(int(pid), int(moment) / 1000) if known else None


def _started(pid: int) -> float:
    """When a process was started; on Linux by a clock that nobody sets, unlike psutil's."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
        return int(after_name.split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return psutil.Process(pid).create_time()


def start(module: str, folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start a module on a folder, silent and in a session of its own; `end` ends it.

    It is given the folder and this process's pid. variables: of its environment, besides ours.
    """
    return subprocess.Popen(
        [*PYTHON_MODULE, module, str(folder), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=SETTINGS | os.environ | variables,
        start_new_session=True,
    )


@contextlib.contextmanager
def kept_apart() -> Iterator[None]:
    """Let an observer's code run in this process, and put back what others here rely on.

    That is the working directory, the environment, which workers inherit, and what signals do that
    stop a command or report a child's end. What the observer prints goes to stderr.
    """
    to_stand_in = getattr(os, "O_PATH", os.O_RDONLY)  # it need not be readable
    folder = os.open(".", to_stand_in | os.O_CLOEXEC)
    environment = dict(os.environ)
    handlers = {one: signal.getsignal(one) for one in _HANDLED}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.fchdir(folder)
        os.close(folder)
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)
        for one, handler in handlers.items():
            if signal.getsignal(one) is not handler and _may_set_handlers():
                signal.signal(one, handler)


def _may_set_handlers() -> bool:
    """Whether this is the main thread: Python lets no other set what a signal does."""
    return threading.current_thread() is threading.main_thread()


def begin_as_child(of: int, number: int = signal.SIGKILL) -> None:
    """What each child of fmbench does first; `of` is its parent, `number` what ends it with that.

    Whatever is printed is UTF-8, so that no locale makes a plugin's `print` fail.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    hear_of_children()
    end_with_parent(number, of)


def hear_of_children() -> None:
    """Let the system keep a child's exit status until it is read.

    A parent that ignored SIGCHLD, some window managers say, hands that on to all it starts.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def end_with_parent(number: int, parent: int) -> None:
    """Ask Linux to send this process a signal when its parent dies; elsewhere nothing happens.

    parent: the parent's pid as the parent gave it; exits at once when it has died already.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def adopt_orphans() -> None:
    """Ask Linux to make this process the parent of descendants whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants(pid: int | None = None, rounds: int = 20) -> None:
    """Kill whatever a process, or this one, has started, and what that has, until nothing is left.

    What cannot be killed (another user's, or stuck in the kernel) is given up after some rounds.
    """
    for _ in range(rounds):
        try:
            children = psutil.Process(pid).children(recursive=True)
            if pid is not None:  # the dead are that process's to bury
                children = [one for one in children if one.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:  # it, or one that ended while it was looked at
            continue
        if not children:
            return
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=0.5)


def kill_marked(mark: str) -> None:
    """Kill the processes whose environment has the mark of a job, whoever their parent is.

    They are looked for everywhere: their guard is dead, and this process may be a notebook's, which
    adopts no orphans.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                process.kill()
                process.wait(0.5)


def memory_of(pid: int) -> tuple[int, int]:
    """The bytes in memory of a process and all it has started: now, and each at its peak."""
    now = peak = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                resident = process.memory_info().rss
                now += resident
                peak += max(resident, _peak(process.pid))
    return now, peak


def _peak(pid: int) -> int:
    """The most bytes of memory that a process has had, where Linux says so; else 0."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def in_a_copy(work: Callable[[], bytes], seconds: float) -> tuple[bytes, int | None]:
    """Do some work in a fork of this process, and return its answer and its exit status.

    Whatever the work does to memory, random streams or the process itself, nothing happens here;
    what it prints is lost. The status is negative for a signal; None when it was killed, because it
    took longer than `seconds` or did nothing for `IDLE_SECONDS`: it may wait for a thread that the
    fork does not have.
    """
    hear_of_children()  # whatever a plugin has set
    reader, writer = os.pipe()
    me = os.getpid()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        pid = os.fork()  # the warning: other threads are not there in the child
    if not pid:
        _answer_and_exit(work, writer, me)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        in_time = _answers_in_time(pipe, psutil.Process(pid), seconds)
        if not in_time:
            os.kill(pid, signal.SIGKILL)
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return answer, status if in_time else None


def _answers_in_time(pipe: IO[bytes], child: psutil.Process, seconds: float) -> bool:
    """Whether an answer comes, or the end of the pipe, before time is up or nothing is done."""
    end = time.monotonic() + seconds
    spent, idle_since = child.cpu_times(), time.monotonic()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while not poll.poll(1000):
        now = time.monotonic()
        if child.cpu_times() != spent or child.status() != psutil.STATUS_SLEEPING:
            spent, idle_since = child.cpu_times(), now
        if now > end or now - idle_since > IDLE_SECONDS:
            return False
    return True


def _answer_and_exit(work: Callable[[], bytes], writer: int, parent: int) -> NoReturn:
    """In a fork: write what the work answers, and leave without any of its parent's clean-up."""
    faulthandler.disable()  # a crash is the answer, and the status reports it
    try:
        end_with_parent(signal.SIGKILL, parent)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(nowhere, file)
        os.write(writer, work())
        os._exit(0)
    except BaseException:
        os._exit(1)


def end(child: "subprocess.Popen[bytes]") -> None:
    """End a child that leads a session, and all it has started; one that ended has seen to that."""
    if child.poll() is None:
        kill_descendants(child.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def how_it_ended(status: int) -> str:
    """An exit status as subprocess gives it, in words: `exit status 1`, `signal SIGSEGV`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:  # real-time signals have no names
        return f"signal {-status}"


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
