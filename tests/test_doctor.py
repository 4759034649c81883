"""`fmbench doctor`: what is broken is a line, no line names anybody, nothing is left behind."""

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psutil
import pytest

from conftest import Fmbench, Install, TinyData, child_environment
from fmbench import data, environment, files, hardware, limits, processes
from fmbench.console.findings import print_findings
from fmbench.doctor import examination, folder, machine, private, software
from fmbench.doctor.findings import Finding, looked, worst
from fmbench.doctor.torch_child import Torch
from fmbench.errors import ExitCode, UsageError
from fmbench.execution.claims import Claim
from fmbench.hardware import Device
from fmbench.processes import ProcessId
from fmbench.store import Store
from plugins_of_all_kinds import GOOD

HOST, USER = "secret-host", "secret-user"


def told(ran: "subprocess.CompletedProcess[str]") -> list[Finding]:
    """The findings that a command with --json has printed."""
    return msgspec.convert(json.loads(ran.stdout)["findings"], list[Finding])


def about(findings: list[Finding], what: str) -> list[Finding]:
    """Those of the findings that are about something."""
    return [one for one in findings if one.about == what]


def test_a_good_machine_has_no_fault(fmbench: Fmbench, install: Install, tmp_path: Path) -> None:
    """Each subject has a line, the exit code is 0, and nothing is left in the current folder."""
    install("plugin-a", GOOD)
    before = sorted(tmp_path.iterdir())
    ran = fmbench("doctor")
    assert ran.returncode == 0, ran.stdout
    for subject in (
        "system", "libraries", "processor", "cores", "load", "memory", "clock", "device", "torch",
        "plugins", "data", "results", "disk", "temporary files",
    ):  # fmt: skip
        assert f" {subject}: " in ran.stdout
    assert "0 faults" in ran.stderr
    assert {*sorted(tmp_path.iterdir())} - {*before} <= {tmp_path / "cache"}


def hostile(tmp_path: Path, tiny: TinyData) -> dict[str, str]:
    """An environment in which whatever has a name has one that must not be told."""
    place = tmp_path / USER / "Secret Folder"
    (place / "home").mkdir(parents=True)
    (place / "tmp").mkdir()
    site = tmp_path / "site"
    (site / "sitecustomize.py").write_text(
        "import os, platform, socket\n"
        f"socket.gethostname = lambda: '{HOST}.secret.example'\n"
        f"platform.node = lambda: '{HOST}.secret.example'\n"
    )
    return child_environment(site, place / "cache") | {
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "USER": USER,
        "LOGNAME": USER,
        "HOSTNAME": HOST,
        "FMBENCH_DATA": str(tiny.folder),
    }


TELLTALE = f"""
import os, socket
raise ImportError(
    f"{{socket.gethostname()}}: cannot open {{os.path.expanduser('~')}}/x.so for {USER},"
    " nor '/mnt/Secret Disk/y.so', /opt/secret/z.so:/secret, ~/secret or ../secret/a"
)
"""


def test_no_line_names_a_host_a_user_or_a_folder(
    tmp_path: Path, install: Install, tiny: TinyData
) -> None:
    """Whatever is broken, text and JSON have neither names nor paths, nor what leads to them."""
    install("plugin-a", GOOD)
    install("telltale", TELLTALE)
    env = hostile(tmp_path, tiny)
    results = tmp_path / USER / "Secret Folder" / "results of mine"
    store = Store(results, "quick-v1")
    store.make()
    (store.records / "secret.json").write_text("{}")
    broken = tmp_path / "site" / "secret_thing-1.0.dist-info"
    broken.mkdir()
    (broken / "entry_points.txt").write_text("[fmbench]\nno line of it\n")
    for more in ((), ("--json", "--reference", "--data-dir", tmp_path / USER)):
        ran = subprocess.run(
            [Path(sys.executable).with_name("fmbench"), "doctor", "--results", results, *more],
            capture_output=True, text=True, env=env, cwd=tmp_path,
        )  # fmt: skip
        assert ran.returncode == ExitCode.CHECK_FAILED, ran.stderr
        assert "telltale" in ran.stdout
        assert "cannot open" in ran.stdout
        for name in ("secret", str(tmp_path), str(tiny.folder), "mnt", "mine", sys.prefix):
            assert name not in (ran.stdout + ran.stderr).lower(), ran.stdout


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        ("301 images/s, 1/2 and/or", "301 images/s, 1/2 and/or"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("no /usr/lib/x.so: it", "no PATH: it"),
        ("in '/a b/c' and \"~/d e\"", "in 'PATH' and \"PATH\""),
        ("../up/x, ./here, ~/home", "PATH, PATH, PATH"),
        (f"by {USER.upper()} on {HOST}", "by NAME on NAME"),
        (f"{sysconfig.get_path('purelib')}/a/b.py", "site-packages/a/b.py"),
    ],
)
def test_paths_and_names_are_taken_out_of_words(
    words: str, clean: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths and names go; fractions, units and addresses stay."""
    monkeypatch.setattr(private, "_names", lambda: {USER, HOST})
    finding = Finding(about="x", says=words, hint=words)
    found = private.scrubber()(finding)
    assert (found.says, found.hint) == (clean, clean)


def test_of_installed_libraries_the_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path below site-packages says which library is meant, and not where it lies."""
    monkeypatch.setattr(private.sysconfig, "get_path", lambda _: "/home/x/venv/site-packages")
    said = "/home/x/venv/site-packages/torch/lib/libc10.so: undefined symbol"
    found = private.scrubber()(Finding(about="x", says=said))
    assert found.says == "site-packages/torch/lib/libc10.so: undefined symbol"


TORCHES = {
    "is absent": ("raise ModuleNotFoundError(\"No module named 'torch'\")", "No module named"),
    "fails": ("raise ImportError('libcudart.so.12: cannot open')", "libcudart.so.12"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "signal SIGILL"),
    "is no torch": ("", "cannot import name"),
}


@pytest.mark.parametrize("name", TORCHES)
def test_a_broken_torch_is_a_line(name: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch does when it is imported is told, with what to type to see it."""
    code, said = TORCHES[name]
    (site / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(site))
    _, line = software.device_and_torch("cpu")
    assert (line.about, line.level) == ("torch", "fault")
    assert said in line.says
    assert "import torch" in line.hint


def test_without_torch_the_other_lines_are_there(
    fmbench: Fmbench, install: Install, site: Path
) -> None:
    """The command itself needs no torch; with its reference it says so too."""
    install("plugin-a", GOOD)
    (site / "torch.py").write_text(TORCHES["is absent"][0])
    ran = fmbench("doctor", "--reference", "--json")
    assert ran.returncode == ExitCode.CHECK_FAILED, ran.stderr
    found = told(ran)
    assert [one.about for one in found if one.level == "fault"] == ["torch", "reference"]
    assert about(found, "results")[0].level == "ok"


def test_what_is_missing_or_wrong_is_a_line(
    fmbench: Fmbench, install: Install, tiny: TinyData, tmp_path: Path
) -> None:
    """Other data, a folder that takes no file, and a device that is not there."""
    (tmp_path / "file").write_text("")
    for place in (Path("/proc/x"), tmp_path / "file", tmp_path / "file" / "x"):
        (line,) = folder.results(place)
        assert (line.level, "--results" in line.hint) == ("fault", True)
    install("plugin-a", GOOD)
    found = told(fmbench("doctor", "--json", "--data-dir", tiny.folder, "--device", "cuda:9"))
    (line,) = about(found, "data")
    assert line.level == "fault"
    assert "-ubyte: " in line.says
    assert about(found, "device")[0].level == "fault"
    assert "no device cuda:9" in about(found, "device")[0].says


def test_data_that_are_not_here_are_not_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the data set a warning says which command fetches it; the reference needs it."""
    monkeypatch.delenv("FMBENCH_DATA", raising=False)
    monkeypatch.setattr(data, "present", lambda: None)
    (line,) = software.data_set(None)
    assert (line.level, "fmbench data" in line.hint) == ("warning", True)
    monkeypatch.setenv("FMBENCH_DATA", str(tmp_path / "nowhere"))
    (line,) = software.data_set(None)
    assert (line.level, line.says) == ("fault", "there is no such folder")


def test_no_plugin_at_all_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a model there is nothing to run, and the hint says what to install."""
    monkeypatch.setattr(software.discovery, "catalogue", software.discovery.Catalogue)
    (line,) = software.plugins()
    assert line.level == "fault"
    assert line.hint == software.discovery.INSTALL_MODELS


def test_a_look_that_fails_is_a_line() -> None:
    """An error that a person can mend keeps its hint; any other one is to be reported."""

    def mendable() -> Iterator[Finding]:
        yield Finding(about="x", says="so far")
        raise UsageError("it is not so", hint="make it so")

    def unforeseen() -> Iterator[Finding]:
        raise ZeroDivisionError("on purpose")
        yield

    def unreadable() -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", "/secret")
        yield

    (line,) = looked("z", unreadable)
    assert line.says == "cannot be looked at: Permission denied"
    found = [*looked("x", mendable), *looked("y", unforeseen)]
    assert [one.level for one in found] == ["ok", "fault", "fault"]
    assert [one.hint for one in found[1:]] == ["make it so", "report this line and those above it"]
    assert "ZeroDivisionError: on purpose" in found[2].says
    assert worst(found) == "fault"
    assert worst(found[:1]) == "ok"


def test_a_report_goes_on_after_any_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With every look broken each of them still has its line."""

    def broken(*_: object, **__: object) -> Iterator[Finding]:
        raise RuntimeError("on purpose")

    looks = ("system", "libraries", "processor", "cores", "load", "room_in_memory", "clock")
    for name in looks:
        monkeypatch.setattr(machine, name, broken)
    for name in ("device_and_torch", "plugins", "data_set"):
        monkeypatch.setattr(software, name, broken)
    for name in ("results", "disk", "leftovers"):
        monkeypatch.setattr(folder, name, broken)
    found = [*examination.examine(results=tmp_path)]
    assert len(found) == 13
    assert {one.level for one in found} == {"fault"}


def test_what_dead_runners_left_is_told_and_the_living_are_not_blamed(tmp_path: Path) -> None:
    """Claims and scratch of the dead are a warning; a runner at work is a fact."""
    store = Store(tmp_path / "results", "quick-v1")
    store.make()
    alive = processes.identify()
    dead = ProcessId(alive.pid, alive.started - 1000)
    for name, runner in (("a", dead), ("b", alive)):
        files.write(store.claims / f"{name}.json", msgspec.json.encode(Claim(runner=runner)))
        (store.jobs / runner.folder_name).mkdir()
    (store.claims / "c.json").write_text("half a cl")
    (store.records / "no-record.json").write_text("{}")
    said, *warnings = folder.leftovers(tmp_path / "results")
    assert said.says == "0 records; 1 runner at work"
    assert [one.level for one in warnings] == ["warning", "warning"]
    assert warnings[0].says == "1 file cannot be read as records"
    assert warnings[1].says.startswith("3 claims")
    assert [*folder.leftovers(tmp_path / "nowhere")] == []


def test_limits_and_loads_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a core, a busy or small machine, told threads and told instructions: warnings."""
    monkeypatch.setattr(limits, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(environment, "busy_share", lambda: 0.9)
    monkeypatch.setattr(limits, "memory_available", lambda: 10**9)
    monkeypatch.setattr(limits, "memory", lambda: 2 * 10**9)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    levels = {
        look.__name__: [one.level for one in look()]
        for look in (machine.cores, machine.load, machine.room_in_memory, machine.processor)
    }
    assert levels["cores"] == ["warning", "warning"]
    assert levels["load"] == levels["room_in_memory"] == ["warning"]
    assert levels["processor"] == ["ok", "warning"]


def test_a_clock_that_is_behind_or_coarse_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of fmbench cannot be from the future, and short runs need fine clocks."""
    (line,) = machine.clock()
    assert line.level == "ok"
    with monkeypatch.context() as changed:
        changed.setattr(time, "get_clock_info", lambda _: SimpleNamespace(resolution=0.016))
        (line,) = machine.clock()
        assert line.level == "warning"
    monkeypatch.setattr(time, "time", lambda: 0.0)
    (line,) = machine.clock()
    assert (line.level, "behind" in line.says) == ("warning", True)


def test_a_file_system_without_hard_links_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Records are placed by hard links; nothing stays of the attempt."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (line,) = folder.results(tmp_path)
    assert (line.level, "Operation not permitted" in line.says) == ("fault", True)
    assert [*tmp_path.iterdir()] == []


def test_little_room_is_warned_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Less than the checkpoints of large models take is a warning."""
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    assert [one.level for one in folder.disk(tmp_path / "not" / "yet")] == ["warning", "ok"]


def test_a_gpu_is_described_and_one_that_is_not_used_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Name, memory, driver and libraries; a GPU that auto passes over is a warning."""
    gpu = Device(kind="cuda", name="A GPU", memory=8 * 10**9, driver="570.1")
    monkeypatch.setattr(hardware, "cuda_devices", lambda: [gpu])
    monkeypatch.setattr(
        software, "ask_torch", lambda one: Torch(version="2.14.1", cuda="13.0", device=one)
    )
    said, torch = software.device_and_torch("cuda")
    assert said.says == "cuda:0: A GPU, 8.00 GB, driver 570.1"
    assert torch.says == "torch 2.14.1, built for CUDA 13.0; it can use cuda:0"
    _, unused, _ = software.device_and_torch("auto")
    assert unused.level == "warning"
    assert "A GPU with 8.00 GB" in unused.says
    shared = Torch(version="2.14.1", device=gpu, free=10**9)
    monkeypatch.setattr(software, "ask_torch", lambda _: shared)
    _, busy, _ = software.device_and_torch("cuda")
    assert (busy.level, busy.says) == ("warning", "only 1.00 GB of its memory are free")
    unusable = Torch(version="2.14.1", problem="torch 2.14.1 cannot use cuda:0", hint="another")
    monkeypatch.setattr(software, "ask_torch", lambda _: unusable)
    assert [one.level for one in software.device_and_torch("cuda")] == ["ok", "fault"]


def test_an_absent_library_and_the_other_fmbench_are_faults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is not installed is named, with what installs it."""
    known = environment.version

    def version(name: str) -> str:
        return {"scipy": "", "fmbench": "0.4"}.get(name, known(name))

    monkeypatch.setattr(environment, "version", version)
    (line,) = machine.libraries()
    assert (line.level, line.says.endswith("not installed: scipy")) == ("fault", True)
    assert [one.level for one in machine.system()] == ["ok", "fault"]


def test_findings_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each with its level, the hint below it, and counts at the end on stderr."""
    print_findings(
        [
            Finding(about="a", says="well"),
            Finding(about="b", level="fault", says="ill\nvery", hint="mend it"),
        ]
    )
    printed = capsys.readouterr()
    assert printed.out == textwrap.dedent("""\
        ok      a: well
        fault   b: ill
                very
                hint: mend it
        """)
    assert printed.err == "1 fault, 0 warnings\n"


def test_memory_in_a_container_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cgroup withholds is said."""
    total = psutil.virtual_memory().total
    monkeypatch.setattr(limits, "memory", lambda: total // 2)
    (line,) = machine.room_in_memory()
    assert "a cgroup withholds" in line.says
