"""Run every stage in turn, each in a process of its own and under a time limit of its own.

    benchmarks/gpu/run [--out FOLDER] [--protocol NAME|FILE] [--limit STAGE=SECONDS ...]
    benchmarks/gpu/run --rehearse

Begins on a machine that has Python, torch and no network, and installs the wheels that
`benchmarks/gpu/pack` has left in --carried. The folder --out, or the environment's OUT, gets
measurements.jsonl, log.txt and records.tar.gz; all that was measured is there whenever this ends.
Ends with 1 when a stage did not end well.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from gpu import journal
from gpu.settings import ALL_SECONDS, LIMITS, REHEARSAL, REHEARSED, Settings

HERE = Path(__file__).resolve().parent
CARRIED = HERE / "carried"
WHEELS, DATA, RECORDS = "wheels", "data", "records"
LOG, ARCHIVE = "log.txt", "records.tar.gz"
GRACE = 8.0
"""Seconds that a stage has to end by itself when it is told to, before it is killed."""

OUT_OF_TIME = 75
"""The exit status of a stage that stopped measuring because its time was over."""

ENDS = {0: "ok", OUT_OF_TIME: "out of time"}

InTime = Callable[["subprocess.Popen[bytes]", float], bool]
"""Waits for a process to end, for so many seconds at most; whether it did."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages; 1 when one of them did not end well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder of the answers; the environment's OUT")
    parser.add_argument("--protocol", default="standard-v1", help="the candidate; standard-v1")
    parser.add_argument("--carried", type=Path, help="what pack has left, or nothing to rehearse")
    parser.add_argument("--data-dir", type=Path, help="the four files; those carried")
    parser.add_argument("--seconds", type=float, help=f"for all stages; {ALL_SECONDS:.0f}")
    parser.add_argument("--limit", action="append", default=[], metavar="STAGE=SECONDS")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, next to nothing each")
    options = parser.parse_args(arguments)
    out = options.out or (Path(os.environ["OUT"]) if "OUT" in os.environ else None)
    if out is None:
        parser.error("--out is needed where the environment has no OUT")
    endless = dict.fromkeys(LIMITS, float("inf"))
    limits = (endless if options.rehearse else LIMITS) | parse_limits(options.limit, parser)
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        nothing = scratch / "nothing"
        carried = (options.carried or (nothing if options.rehearse else CARRIED)).resolve()
        data = options.data_dir or (carried / DATA if (carried / DATA).is_dir() else None)
        settings = Settings(
            device="cuda",
            protocol=absolute(options.protocol),
            data=str(data.resolve()) if data else "",
            results=str(scratch / RECORDS),
        )
        if options.rehearse:
            candidate = rehearsed(options.protocol, scratch)
            settings = replace(settings, protocol=candidate, **REHEARSAL)
        take_up(carried, scratch)
        whole = options.seconds or (float("inf") if options.rehearse else ALL_SECONDS)
        session = Session(out, scratch, carried, settings, until=time.monotonic() + whole)
        journal.write(
            out,
            "session",
            "begin",
            date=time.strftime("%Y-%m-%dT%H%MZ", time.gmtime()),
            rehearsal=options.rehearse,
            settings={**asdict(settings), "data": "", "results": ""},  # published: no paths
        )
        ends = [session.run(name, limit) for name, limit in limits.items()]
        journal.write(out, "session", "end")
    return int(any(end != "ok" for end in ends))


class Session:
    """The stages and where they leave what they find; `until`, a monotonic time, ends them all."""

    def __init__(
        self, out: Path, scratch: Path, carried: Path, settings: Settings, until: float
    ) -> None:
        self.out, self.scratch, self.carried = out, scratch, carried
        self.settings, self.until = settings, until
        self.waits: InTime = in_time
        self.site = scratch / "site"

    def run(self, name: str, limit: float) -> str:
        """Run one stage, keep its records, and say how it ended; not begun without time for it."""
        left = self.until - time.monotonic() - GRACE
        limit = min(limit, left)
        begun = time.monotonic()
        if left <= 0:
            end = "not begun"
        else:
            end = carry_out(
                self.command(name, limit), self.out, self.environment(), limit, self.waits
            )
        keep_records(Path(self.settings.results), self.out / ARCHIVE)
        seconds = time.monotonic() - begun
        journal.write(self.out, name, "stage", ended=end, seconds=seconds, limit=limit)
        print(f"{name}: {end}, {seconds:.1f} s", flush=True)
        return end

    def command(self, name: str, limit: float) -> list[str]:
        """What carries a stage out."""
        if name == "install":
            return install_command(self.carried, self.site, self.settings.device)
        given = json.dumps(asdict(self.settings))
        module = [sys.executable, "-u", "-P", "-m", "gpu.stages"]
        return [*module, name, str(self.out), str(limit), given]

    def environment(self) -> Mapping[str, str]:
        """This environment, with what was installed and the benchmarks first on Python's path."""
        path = [str(self.site), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        rehearsal = self.settings.device == "cpu"
        return {
            **os.environ,
            **({"TORCH_COMPILE_DISABLE": "1"} if rehearsal else {}),  # compiling takes minutes
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.scratch),
        }


def in_time(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    try:
        process.wait(None if seconds == float("inf") else seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def carry_out(
    command: Sequence[str],
    out: Path,
    environment: Mapping[str, str],
    limit: float,
    waits: InTime = in_time,
) -> str:
    """Run a stage's command, what it prints going into the log, and say how it ended.

    Over its limit it is interrupted, as by a person, and killed with all it has started when it
    does not end at that.
    """
    with (out / LOG).open("ab") as log:
        log.write(f"\n== {' '.join(command[:6])}\n".encode())
        log.flush()
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
            start_new_session=True, cwd=environment.get("TMPDIR"),
        )  # fmt: skip
        try:
            if waits(process, limit):
                return ENDS.get(process.returncode, "failed")
            process.send_signal(signal.SIGINT)
            waits(process, GRACE)
            return "cut off"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def install_command(carried: Path, site: Path, device: str) -> list[str]:
    """What installs the wheels that are carried into a folder of their own.

    A rehearsal takes only those of pure Python: it may run on another version than the device's.
    """
    wheels = sorted((carried / WHEELS).glob("*-none-any.whl" if device == "cpu" else "*.whl"))
    if not wheels:
        return [sys.executable, "-c", "print('no wheels are carried')"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    pip += ["--no-compile", "--no-cache-dir", "--upgrade", "--target", str(site)]
    return [*pip, *map(str, wheels)]


def take_up(carried: Path, scratch: Path) -> None:
    """Put the records of an earlier session, where they are carried, where the final runs go on."""
    if (archive := carried / ARCHIVE).is_file():
        with tarfile.open(archive) as held:
            held.extractall(scratch, filter="data")


def keep_records(results: Path, archive: Path) -> None:
    """Write what lies in the results folder into an archive, but for the scratch of its runs."""

    def without_work(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if "work" in Path(entry.name).parts else entry

    if results.is_dir():
        with tarfile.open(archive, "w:gz") as held:
            held.add(results, RECORDS, filter=without_work)


def absolute(protocol: str) -> str:
    """A protocol's name, or its file's path as it can be read from any folder."""
    return str(Path(protocol).resolve()) if protocol.endswith(".toml") else protocol


def rehearsed(protocol: str, scratch: Path) -> str:
    """A file that has a protocol's rules and the budget of a rehearsal."""
    path = scratch / "rehearsal.toml"
    path.write_text(REHEARSED.format(protocol=json.dumps(absolute(protocol))), "utf-8")
    return str(path)


def parse_limits(words: Sequence[str], parser: argparse.ArgumentParser) -> dict[str, float]:
    """The limits that are given, by stage."""
    given = {}
    for word in words:
        name, _, seconds = word.partition("=")
        try:
            given[name] = float(seconds)
        except ValueError:
            parser.error(f"{word!r} is no limit of a stage")
        if name not in LIMITS:
            parser.error(f"there is no stage {name!r}; there are {', '.join(LIMITS)}")
    return given


if __name__ == "__main__":
    sys.exit(main())
