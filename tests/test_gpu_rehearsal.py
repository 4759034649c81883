"""The quarter of an hour on a GPU, rehearsed on a CPU: every stage, its limits, and its digest."""

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

import contenders
import script
from conftest import TinyData
from fmbench import protocol
from fmbench.contract import InputSpec, Model
from fmbench.errors import UsageError
from gpu import digest, journal, measures, packing, session, settling, side_by_side, stages
from gpu.settings import LIMITS, REHEARSAL, Settings
from gpu.task import Line, Task
from test_benchmarks import work_of

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "benchmarks" / "gpu"
SHORT = Settings(device="cpu", protocol="quick-v1", data="", results="")


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory, tiny: TinyData) -> Path:
    """The folder that a rehearsal of all stages leaves."""
    folder = tmp_path_factory.mktemp("rehearsal")
    carried = folder / "carried" / session.WHEELS
    carried.mkdir(parents=True)
    make_wheel(carried)
    made = subprocess.run(
        [
            SCRIPTS / "run", "--rehearse", "--out", folder / "out", "--protocol", tiny.protocol,
            "--data-dir", tiny.folder, "--carried", carried.parent,
        ],
        env={**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    log = (folder / "out" / session.LOG).read_text()
    assert made.returncode == 0, made.stdout + made.stderr + log
    return folder / "out"


def make_wheel(folder: Path) -> None:
    """A wheel of one module."""
    with zipfile.ZipFile(folder / "carried-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", "")
        info = "carried-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        wheel.writestr(f"{info}/RECORD", f"carried.py,,\n{info}/METADATA,,\n{info}/RECORD,,\n")


@pytest.mark.long
def test_every_stage_runs_on_a_cpu_and_leaves_what_it_measured(rehearsed: Path) -> None:
    """All stages end well, each with its kinds of lines; three files come back."""
    lines = journal.read(rehearsed)
    ends = {line["stage"]: line["ended"] for line in lines if line["kind"] == "stage"}
    assert ends == dict.fromkeys(LIMITS, "ok")
    kinds = {name: {line["kind"] for line in lines if line["stage"] == name} for name in LIMITS}
    assert {name: found - {"stage"} for name, found in kinds.items()} == {
        "install": set(),
        "device": {"device", "model", "ceiling"},
        "gpu-tests": {"test", "tests"},
        "doctor": {"doctor"},
        "speed": {"speed"},
        "levers": {"lever"},
        "graphs": {"lever"},
        "side-by-side": {"beside"},
        "time-to-accuracy": {"time"},
        "compile": {"lever"},
        "finals": {"how", "runs"},
    }
    assert not [line for line in lines if "error" in line]
    names = {path.name for path in rehearsed.iterdir()}
    assert names == {journal.NAME, session.LOG, session.ARCHIVE}
    (runs,) = (line["runs"] for line in lines if line["kind"] == "runs")
    assert [(run["seed"], run["status"]) for run in runs] == [(1, "ok"), (2, "ok")]


@pytest.mark.long
def test_a_rehearsal_is_digested_and_never_published(
    rehearsed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tables say that they mean nothing; --write is refused and leaves the page as it was."""
    assert digest.main([str(rehearsed)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("A rehearsal, whose numbers mean nothing: ")
    assert digest.NONE.capitalize() not in told
    page = script.README.read_text("utf-8")
    with pytest.raises(UsageError, match="not published"):
        digest.main([str(rehearsed), "--write"])
    assert script.README.read_text("utf-8") == page


def settings_in(folder: Path) -> Settings:
    """Settings whose final runs lie in a folder."""
    return Settings(device="cpu", protocol="quick-v1", data="", results=str(folder / "records"))


def test_a_stage_over_its_limit_is_cut_off_and_the_others_leave_results(tmp_path: Path) -> None:
    """One that measures, then hangs deaf to an interrupt, is killed; its line and others' stay."""
    code = """if True:
        import os, pathlib, signal, sys, time
        sys.path.insert(0, sys.argv[1])
        from gpu import journal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        journal.write(pathlib.Path(sys.argv[2]), sys.argv[3], "speed", pid=os.getpid())
        while sys.argv[3] == "speed":
            time.sleep(3600)
    """

    class Made(session.Session):
        def command(self, name: str, limit: float) -> list[str]:  # noqa: ARG002
            folders = [str(SCRIPTS.parent), str(self.out)]
            return [sys.executable, "-c", code, *folders, name]

    def waits(process: "subprocess.Popen[bytes]", _: float) -> bool:
        """Until the process has ended, or has told the one line after which it hangs."""
        while process.poll() is None:
            if any(line.get("pid") == process.pid for line in hanging(tmp_path)):
                return False
            time.sleep(0.01)
        return True

    made = Made(tmp_path, tmp_path, tmp_path, settings_in(tmp_path), until=time.monotonic() + 1e6)
    made.waits = waits
    ends = [made.run(name, 1e6) for name in ("device", "speed", "finals")]
    assert ends == ["ok", "cut off", "ok"]
    lines = journal.read(tmp_path)
    assert [line["stage"] for line in lines if line["kind"] == "speed"] == [
        "device", "speed", "finals",
    ]  # fmt: skip
    (pid,) = (line["pid"] for line in hanging(tmp_path))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def hanging(folder: Path) -> Iterator[journal.Line]:
    """The lines of the process that hangs."""
    return (one for one in journal.read(folder) if one["stage"] == "speed" and "pid" in one)


def test_a_stage_without_time_left_is_not_begun(tmp_path: Path) -> None:
    """When the session's time is over, the stages that remain are named and nothing is started."""
    late = session.Session(tmp_path, tmp_path, tmp_path, settings_in(tmp_path), until=0.0)
    assert late.run("finals", 1e6) == "not begun"
    (line,) = journal.read(tmp_path)
    assert (line["stage"], line["ended"]) == ("finals", "not begun")


@pytest.mark.parametrize(
    ("seconds", "error", "status", "kinds"),
    [
        ("inf", None, 0, ["speed", "speed"]),
        ("0", None, session.OUT_OF_TIME, ["speed"]),
        ("inf", RuntimeError("broken"), 1, ["speed", "error"]),
    ],
)
def test_a_stage_tells_each_measurement_and_how_it_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: str,
    error: Exception | None,
    status: int,
    kinds: list[str],
) -> None:
    """Out of time it stops after a measurement; what is raised is told after what was measured."""

    def measure(_: Task) -> Iterator[Line]:
        yield "speed", {}
        if error:
            raise error
        yield "speed", {}

    monkeypatch.setitem(stages.STAGES, "speed", measure)
    given = json.dumps(asdict(settings_in(tmp_path)))
    assert stages.main(["speed", str(tmp_path), seconds, given]) == status
    assert [line["kind"] for line in journal.read(tmp_path)] == kinds


def test_settings_come_to_a_stage_as_they_were() -> None:
    """Through JSON, which has no tuples, the settings of a rehearsal stay equal."""
    whole = Settings(**{**asdict(SHORT), **REHEARSAL})
    assert msgspec.convert(json.loads(json.dumps(asdict(whole))), Settings) == whole


def test_the_journal_keeps_whole_lines_alone(tmp_path: Path) -> None:
    """A torn line is left out, what is not finite is null, and no journal has no lines."""
    assert journal.read(tmp_path) == []
    journal.write(tmp_path, "speed", "speed", rates=[1.0, float("nan")], of={"most": float("inf")})
    with (tmp_path / journal.NAME).open("a") as file:
        file.write('{"stage": "speed", "ki')
    assert journal.read(tmp_path) == [
        {"stage": "speed", "kind": "speed", "rates": [1.0, None], "of": {"most": None}}
    ]


def test_a_fault_of_the_device_ends_a_stage_and_another_does_not() -> None:
    """After a CUDA error nothing can be measured in the process; other errors are one line each."""

    def failing(message: str) -> Callable[[], dict[str, Any]]:
        def measure() -> dict[str, Any]:
            raise RuntimeError(message)

        return measure

    assert measures.attempt(failing("too large")) == {
        "error": "RuntimeError: too large", "failed": True,
    }  # fmt: skip
    with pytest.raises(RuntimeError, match="CUDA error"):
        measures.attempt(failing("CUDA error: an illegal memory access was encountered"))


def test_records_are_kept_and_taken_up_again(tmp_path: Path) -> None:
    """A later session's final runs go on from the archive, which leaves out the scratch of runs."""
    results = tmp_path / session.RECORDS
    for name in ("quick-v1/records/a.json", "quick-v1/work/jobs/b"):
        (results / name).parent.mkdir(parents=True)
        (results / name).write_text("x")
    carried, scratch = tmp_path / "carried", tmp_path / "scratch"
    carried.mkdir()
    session.keep_records(results, carried / session.ARCHIVE)
    session.take_up(carried, scratch)
    found = [path.relative_to(scratch) for path in scratch.rglob("*") if path.is_file()]
    assert found == [Path(session.RECORDS, "quick-v1", "records", "a.json")]


def test_wheels_are_installed_into_a_folder_of_their_own(tmp_path: Path) -> None:
    """What is carried can be imported from there alone, and no index is asked."""
    wheels = tmp_path / session.WHEELS
    wheels.mkdir()
    make_wheel(wheels)
    subprocess.run(session.install_command(tmp_path, tmp_path / "site", "cuda"), check=True)
    assert (tmp_path / "site" / "carried.py").is_file()


@pytest.mark.parametrize(("most", "status"), [(2**40, 0), (1, 1)])
def test_what_is_packed_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: TinyData, most: int, status: int
) -> None:
    """The data set travels compressed, a folder is filled anew, and too much of it ends with 1."""
    monkeypatch.setattr(packing, "build", make_wheel)
    monkeypatch.setattr(packing, "download", lambda _: None)
    monkeypatch.setattr(packing, "checkout", lambda: 0)
    monkeypatch.setattr(packing, "MOST", most)
    into = tmp_path / "carried"
    into.mkdir()
    (into / "old").touch()
    assert packing.main(["--into", str(into), "--data-dir", str(tiny.folder)]) == status
    assert {path.name for path in into.iterdir()} == {session.WHEELS, session.DATA}
    assert len(list((into / session.DATA).glob("*.gz"))) == 4


@pytest.mark.parametrize("broken", [False, True])
def test_mps_ends_with_what_it_was_started_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Its daemon is told to quit, also after an error; unwanted, it is not started."""
    program, log = tmp_path / side_by_side.MPS, tmp_path / "log"
    program.write_text(f'#!/bin/sh\n[ "$1" = -d ] || read word\necho "$1$word" >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with side_by_side.mps(False) as more:
        assert more == {} and not log.exists()
    try:
        with side_by_side.mps(True) as more:
            assert {"CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"} == set(more)
            if broken:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert broken
    assert log.read_text() == "-d\nquit\n"


def beside(workers: int, mps: bool, rate: float) -> journal.Line:
    """A line of so many workers that train at that rate each."""
    return {
        "stage": "side-by-side", "kind": "beside", "model": "a", "workers": workers, "mps": mps,
        "images_per_second": [rate] * workers, "status": 0, "seconds": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "best"),
    [
        ([], (1, False)),
        ([beside(4, True, 9.0)], (1, False)),
        ([beside(1, False, 10.0), beside(4, False, 2.6)], (1, False)),
        ([beside(1, False, 10.0), beside(4, False, 5.0), beside(4, True, 6.0)], (4, True)),
    ],
)
def test_side_by_side_is_chosen_where_it_has_paid(
    lines: list[journal.Line], best: tuple[int, bool]
) -> None:
    """Without one alone to compare with, or with less than a tenth gained, runs are made alone."""
    assert side_by_side.best(lines) == best


def test_a_digest_invents_no_number(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of a session in which nothing ran, every stage is named as such and nothing is settled."""
    with pytest.raises(UsageError, match="no session"):
        digest.main([str(tmp_path)])
    journal.write(tmp_path, "session", "begin", date="2026-01-01T0000Z", rehearsal=False)
    assert digest.main([str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert told.count("did not run") == len(LIMITS) + 2
    assert told.count("Not measured.") == 5
    before, _, conclusions = told.partition("What this settles")
    assert not re.search(r"\d", before)
    settled = [row.split("|")[3].strip() for row in conclusions.splitlines()[4:] if "|" in row]
    assert settled == ["no"] * 7


def test_a_board_of_every_model_settles_recipes_and_status() -> None:
    """All recipes tried and all seeds there, of this very protocol, on one device: then alone."""
    rules = protocol.load("standard-v1")
    finals = {"sgd-0.05": rules.seeds}
    runs = [
        {"model": "a", "stage": stage, "recipe": recipe.name, "seed": seed, "status": "ok",
         "digest": "d"}
        for recipe in rules.recipes
        for stage, seeds in (("tune", [0]), ("final", finals.get(recipe.name, ())))
        for seed in seeds
    ]  # fmt: skip

    def conclusion(runs: list[dict[str, Any]], digest: str = rules.digest) -> dict[str, str]:
        lines: list[journal.Line] = [
            {"stage": "device", "kind": "model", "model": "a"},
            {"stage": "finals", "kind": "runs", "protocol_digest": digest, "runs": runs},
        ]
        return {row[0]: row[2] for row in settling.settle(lines, rules)}

    assert (conclusion(runs)["recipes"], conclusion(runs)["status"]) == ("yes", "yes")
    elsewhere = [{**runs[0], "digest": "another"}, *runs[1:]]
    fewer = [run for run in runs if run["seed"] != 5]
    for lacking in (fewer, elsewhere):
        assert conclusion(lacking)["status"] == "no"
    assert conclusion(runs, digest="another")["recipes"] == "no"


def test_what_was_measured_is_kept_under_the_devices_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lines are committed as JSON, in a file named after the moment and the device."""
    monkeypatch.setattr(digest, "RESULTS", tmp_path / "results")
    lines = [{"stage": "device", "kind": "device", "device": {"name": "NVIDIA H200"}}]
    path = digest.keep(lines, "2026-01-01T0000Z")
    assert path.name == "2026-01-01T0000Z-nvidia-h200.json"
    assert json.loads(path.read_text()) == lines


def test_lightnings_first_loss_is_fmbenchs(tiny: TinyData, tmp_path: Path) -> None:
    """From the same weights, Lightning's contender finds the same loss on the same batch."""
    pytest.importorskip("lightning")
    from torch import nn

    from gpu.lightning_peer import train_with_lightning

    def build(spec: InputSpec) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(spec.size**2, spec.classes))

    path = tiny.variant(tmp_path / "plain.toml", ('"one-cycle"\nwarmup = 0.3', '"constant"'))
    rules = protocol.load(str(path))
    work = work_of(rules, Model("linear", build), rules.training.batch_size)
    loss = train_with_lightning(work, workers=0).loss
    assert abs(loss - contenders.train_with_fmbench(work).loss) < 1e-5


def test_every_command_in_the_page_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The page names the three scripts, and each option that one is given is one of its own."""
    mains = {"run": session.main, "pack": packing.main, "digest": digest.main}
    lines = re.findall(
        r"^benchmarks/gpu/(\w+)(.*)$", script.README.read_text("utf-8"), re.MULTILINE
    )
    assert {name for name, _ in lines} == set(mains)
    for name, rest in lines:
        assert os.access(SCRIPTS / name, os.X_OK)
        with pytest.raises(SystemExit):
            mains[name](["--help"])
        told = capsys.readouterr().out
        assert all(option in told for option in re.findall(r"--[a-z-]+", rest)), rest
