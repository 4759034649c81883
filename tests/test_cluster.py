"""Runs on a Ray cluster of two nodes: what becomes of them, of what is killed, and what is left."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from conftest import TinyData, alive, child_environment, install_into
from fmbench.errors import ExitCode
from fmbench.records import Record, Result
from fmbench.store import Store
from kills import results
from plugins_of_all_kinds import CONVOLUTION, offering
from ray_cluster import RayCluster, temporary_folder

SEEDS = 2
WAITING = """
def waiting(spec):
    import os, pathlib, time
    from torch import nn
    folder = pathlib.Path({folder!r})
    batches = []  # on the module it would be state that no checkpoint holds
    class Waiting(nn.Sequential):
        def forward(self, batch):
            batches.extend([1] * self.training)
            second_epoch = len(batches) == 36 and self.training
            if second_epoch and (folder / "hold").exists():
                print("it waits")
                (folder / "pids" / str(os.getpid())).touch()
                while (folder / "hold").exists():
                    time.sleep(0.02)
            return super().forward(batch)
    return Waiting(*linear(spec))
"""
EPOCHS_NOTED = """
import fmbench, pathlib

@fmbench.hookimpl
def fmbench_epoch_end(progress):
    with pathlib.Path("epochs.txt").open("a") as file:
        print(progress.run.seed, progress.epoch, file=file)
"""


@dataclass(frozen=True)
class Bench:
    """Where commands are run, and with which options and variables.

    folder: a fresh one for each test; its results lie in it.
    shared: where plugins are and where they look for what a test has placed.
    """

    folder: Path
    shared: Path
    tiny: TinyData
    options: tuple[str, ...] = ("--workers", "2")
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *asked: object, results: str = "results") -> "subprocess.Popen[str]":
        """Begin `fmbench run`."""
        protocol = () if "--protocol" in asked else ("--protocol", self.shared / "one.toml")
        command = ["run", *asked, *protocol, "--data-dir", self.tiny.folder, "--results", results]
        return subprocess.Popen(
            [Path(sys.executable).with_name("fmbench"), *map(str, command), *self.options],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def run(self, *asked: object, code: int = 0, results: str = "results") -> str:
        """Run it to its end, hold it to an exit status, and return what it printed."""
        child = self.start(*asked, results=results)
        said, _ = child.communicate()
        assert child.returncode == code, said
        return said

    def results(self) -> dict[str, Result]:
        """The good results, by key; fails when a run has two."""
        return results(self.folder / "results")

    def records(self) -> tuple[Record, ...]:
        """All records."""
        return Store(self.folder / "results", "tiny-v1").read().records

    @property
    def _hold(self) -> Path:
        return self.shared / "hold"

    def hold(self) -> None:
        """Have runs of the model `waiting` wait in their second epoch."""
        for path in (self.shared / "pids").iterdir():
            path.unlink()
        self._hold.touch()

    def release(self) -> None:
        """Let them go on."""
        self._hold.unlink(missing_ok=True)

    def waiting(self, child: "subprocess.Popen[str]", count: int = SEEDS) -> list[int]:
        """The workers that wait, as soon as they are so many."""
        while len(found := [int(one.name) for one in (self.shared / "pids").iterdir()]) < count:
            assert child.poll() is None, child.communicate()
            time.sleep(0.05)
        return found


def eventually(law: Callable[[], object]) -> None:
    """Wait for something that has to come, for minutes if need be."""
    for _ in range(6000):
        if law():
            return
        time.sleep(0.05)
    pytest.fail("it never came about")


def workers_in(folder: Path) -> list[psutil.Process]:
    """The guards and workers whose temporary folder this is."""
    return [one for one in processes_in(folder) if "fmbench.execution" in " ".join(line(one))]


def processes_in(folder: Path) -> list[psutil.Process]:
    """All processes whose temporary folder this is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder) and alive(process.pid):
                found.append(process)
        except psutil.Error:
            continue
    return found


def line(process: psutil.Process) -> list[str]:
    """A process's command line, empty when it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def nothing_is_left(bench: Bench) -> None:
    """No worker of ours, none of its folders, and of a cluster of our own nothing at all."""
    folder = Path(bench.environment["TMPDIR"])
    eventually(lambda: not workers_in(folder))
    assert [*folder.glob("fmbench-jobs-*"), *folder.glob("fmb-*")] == []
    assert list(Store(bench.folder / "results", "tiny-v1").jobs.iterdir()) == []
    if "--address" not in bench.options:
        eventually(lambda: not processes_in(folder))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, tiny: TinyData) -> Path:
    """A folder of plugins and a protocol of one thread."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "pids").mkdir()
    (folder / "site").mkdir()
    builders = ("good=linear", "conv=convolution", "waiting=waiting")
    install_into(
        folder / "site",
        "plugin-good",
        offering(*builders, extra=CONVOLUTION + WAITING.format(folder=str(folder))),
    )
    install_into(folder / "site", "epochs-noted", EPOCHS_NOTED, group="fmbench.observers")
    tiny.variant(folder / "one.toml", ('"float32"', '"float32"\nthreads = 1'))
    return folder


@pytest.fixture
def local(shared: Path, tiny: TinyData, tmp_path: Path) -> Bench:
    """Commands on the local engine."""
    environment = child_environment(shared / "site", shared / "cache")
    return Bench(tmp_path, shared, tiny, environment=environment)


@pytest.fixture(scope="module")
def expected(
    shared: Path, tiny: TinyData, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Result]:
    """The results of an undisturbed run of all models with one local worker."""
    bench = Bench(tmp_path_factory.mktemp("local"), shared, tiny, ("--workers", "1"),
                  child_environment(shared / "site", shared / "cache"))  # fmt: skip
    bench.run("good", "conv", "waiting")
    assert len(bench.results()) == 3 * SEEDS
    return bench.results()


@pytest.fixture(scope="module")
def cluster(shared: Path) -> Iterator[RayCluster]:
    """A cluster of two nodes of a core each, where nothing is left in the end."""
    with RayCluster(child_environment(shared / "site", shared / "cache")) as started:
        started.add()
        started.add()
        yield started
    assert not processes_in(started.folder)


@pytest.fixture
def ray(local: Bench, cluster: RayCluster) -> Iterator[Bench]:
    """Commands on the cluster, which leave it as it was."""
    bench = replace(
        local,
        options=("--engine", "ray", "--address", cluster.address),
        environment=cluster.environment,
    )
    yield bench
    bench.release()
    nothing_is_left(bench)


@pytest.fixture
def own(local: Bench) -> Iterator[Bench]:
    """Commands that start a cluster of their own, of which nothing is left."""
    with temporary_folder() as folder:
        bench = replace(
            local,
            options=("--engine", "ray"),
            environment=local.environment | {"TMPDIR": str(folder), "RAY_TMPDIR": str(folder)},
        )
        yield bench
        bench.release()
        nothing_is_left(bench)


@contextmanager
def on_a_cluster_of_one_node(local: Bench) -> Iterator[tuple[RayCluster, Bench]]:
    """A cluster for one test, and commands on it."""
    with RayCluster(local.environment) as cluster:
        cluster.add(cpus=2)
        options = ("--engine", "ray", "--address", cluster.address)
        yield cluster, replace(local, options=options, environment=cluster.environment)


def of_waiting(expected: dict[str, Result], bench: Bench) -> dict[str, Result]:
    """Those of the expected results that belong to a test's runs of `waiting`."""
    keys = {record.key for record in bench.records() if record.run.model == "waiting"}
    assert len(keys) == SEEDS
    return {key: result for key, result in expected.items() if key in keys}


@pytest.mark.long
def test_two_workers_or_two_runners_give_the_bits_of_one(
    local: Bench, expected: dict[str, Result]
) -> None:
    """Under a protocol that names its threads, what is made side by side is as if made alone."""
    local.run("good", "conv", "waiting")
    assert local.results() == expected
    both = replace(local, folder=local.folder / "both", options=("--workers", "1"))
    both.folder.mkdir()
    children = [both.start("good", "conv", "waiting") for _ in range(2)]
    for child in children:
        said, _ = child.communicate()
        assert child.returncode == 0, said
    assert both.results() == expected


@pytest.mark.cluster
def test_a_cluster_gives_the_bits_of_one_machine(ray: Bench, expected: dict[str, Result]) -> None:
    """Undisturbed, the results from two nodes are a lone worker's, and no run shares its node."""
    for name in ("torch", "numpy", "fmbench", "plugin_good"):  # Ray looks in the current folder
        (ray.folder / f"{name}.py").write_text("raise RuntimeError('imported from here')")
    ray.run("good", "conv", "waiting")
    assert ray.results() == expected
    assert {record.cost.beside for record in ray.records()} == {0}  # each on a node of its own
    assert all(record.reproducibility == "bitwise" for record in ray.records())


@pytest.mark.cluster
def test_two_drivers_share_a_cluster_and_a_folder(ray: Bench, expected: dict[str, Result]) -> None:
    """Two commands on one cluster and one results folder make each run once, to the same bits."""
    children = [ray.start("good", "conv") for _ in range(2)]
    for child in children:
        said, _ = child.communicate()
        assert child.returncode == 0, said
    assert len(ray.records()) == 2 * SEEDS
    assert len(ray.results()) == 2 * SEEDS
    assert ray.results().items() <= expected.items()


@pytest.mark.cluster
@pytest.mark.parametrize("killed", ["worker", "guard"])
def test_a_killed_worker_costs_its_run_alone(
    ray: Bench, expected: dict[str, Result], killed: str
) -> None:
    """SIGKILL for a worker or its guard makes one crashed record, which `--retry-failed` mends."""
    ray.hold()
    child = ray.start("waiting")
    worker = psutil.Process(ray.waiting(child)[0])
    guard = worker.parent()
    assert guard
    (worker if killed == "worker" else guard).kill()
    eventually(lambda: not alive(worker.pid))
    ray.release()
    said, _ = child.communicate()
    assert child.returncode == ExitCode.RUN_FAILED, said
    assert sorted(record.result.status for record in ray.records()) == ["crashed", "ok"]
    ray.run("waiting", "--retry-failed")
    assert ray.results() == of_waiting(expected, ray)


@pytest.mark.cluster
def test_a_killed_process_of_rays_costs_nothing(ray: Bench, expected: dict[str, Result]) -> None:
    """A job whose process on the node is killed begins again: fmbench's worker was not at fault."""
    ray.hold()
    child = ray.start("waiting")
    worker = psutil.Process(ray.waiting(child)[0])
    between = worker.parents()[1]
    between.kill()
    eventually(lambda: not alive(worker.pid))
    ray.release()
    said, _ = child.communicate()
    assert child.returncode == 0, said
    assert "again waiting" in said, said
    assert len(ray.records()) == SEEDS
    assert ray.results() == of_waiting(expected, ray)


@pytest.mark.cluster
@pytest.mark.parametrize("kept", [True, False])
def test_a_lost_nodes_runs_begin_again_elsewhere(
    ray: Bench, cluster: RayCluster, expected: dict[str, Result], kept: bool
) -> None:
    """A node that goes costs no run; from a folder all nodes see, another goes on with it."""
    asked = ["waiting"]
    if kept:
        asked += ["--checkpoint-every", "0", "--checkpoints-in", str(ray.folder / "kept")]
    ray.hold()
    child = ray.start(*asked)
    workers = ray.waiting(child)
    cluster.remove(cluster.nodes[0])
    cluster.add()
    eventually(lambda: not all(map(alive, workers)))
    ray.release()
    said, _ = child.communicate()
    assert child.returncode == 0, said
    assert "again waiting" in said
    assert len(ray.records()) == SEEDS
    assert sorted(record.cost.resumed_after for record in ray.records()) == [0, int(kept)]
    assert ray.results() == of_waiting(expected, ray)


@pytest.mark.cluster
@pytest.mark.parametrize("engine", ["ray", "own"])
def test_a_killed_driver_is_started_again(
    engine: str, expected: dict[str, Result], request: pytest.FixtureRequest
) -> None:
    """SIGKILL for fmbench ends all its workers; the same command makes what is missing."""
    bench: Bench = request.getfixturevalue(engine)
    bench.hold()
    child = bench.start("good", "waiting")
    workers = bench.waiting(child)
    child.kill()
    child.communicate()
    eventually(lambda: not any(map(alive, workers)))
    bench.release()
    bench.run("good", "waiting")
    assert len(bench.records()) == 2 * SEEDS
    assert bench.results().items() <= expected.items()
    assert len(bench.results()) == 2 * SEEDS


@pytest.mark.cluster
def test_a_lost_cluster_ends_the_command_and_another_goes_on(
    local: Bench, expected: dict[str, Result]
) -> None:
    """When all of a cluster dies so does the command; on a new one it makes what is missing."""
    with on_a_cluster_of_one_node(local) as (cluster, bench):
        bench.hold()
        child = bench.start("good", "waiting")
        workers = bench.waiting(child)
        cluster.close()
        said, _ = child.communicate()
        assert child.returncode != 0, said
    eventually(lambda: not any(map(alive, workers)))
    bench.release()
    with on_a_cluster_of_one_node(local) as (_, bench):
        bench.run("good", "waiting")
    assert len(bench.results()) == 2 * SEEDS
    assert bench.results().items() <= expected.items()


@pytest.mark.cluster
@pytest.mark.parametrize("engine", ["ray", "own"])
def test_ctrl_c_interrupts_and_the_same_command_finishes(
    engine: str, expected: dict[str, Result], request: pytest.FixtureRequest
) -> None:
    """It ends with exit 130 and an interrupted record a run, though Ray's processes get it too."""
    bench: Bench = request.getfixturevalue(engine)
    bench.hold()
    child = bench.start("waiting")
    workers = bench.waiting(child)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    said, _ = child.communicate()
    assert child.returncode == ExitCode.INTERRUPTED, said
    assert "goes on with what is missing" in said
    assert [record.result.status for record in bench.records()] == ["interrupted"] * SEEDS
    assert not any(map(alive, workers))
    nothing_is_left(bench)
    bench.release()
    bench.run("waiting")
    assert bench.results() == of_waiting(expected, bench)


@pytest.mark.cluster
@pytest.mark.parametrize("subreaper", ["true", "false"])
def test_a_cluster_of_our_own_listens_on_loopback_alone(
    own: Bench, expected: dict[str, Result], subreaper: str
) -> None:
    """No process of it can be reached from elsewhere, whether or not Ray buries our children."""
    own.environment["RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper"] = subreaper
    own.hold()
    child = own.start("waiting")
    workers = own.waiting(child)
    processes = processes_in(Path(own.environment["TMPDIR"]))
    assert {"raylet", "gcs_server"} <= {process.name() for process in processes}
    listening = [
        connection.laddr
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or connection.type == 2
    ]
    assert len(listening) > 2
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    os.kill(workers[0], signal.SIGKILL)
    own.release()
    said, _ = child.communicate()
    assert child.returncode == ExitCode.RUN_FAILED, said
    nothing_is_left(own)
    own.run("waiting", "--retry-failed")
    assert own.results() == of_waiting(expected, own)


@pytest.mark.cluster
def test_a_node_that_differs_is_refused_by_name(
    ray: Bench, cluster: RayCluster, expected: dict[str, Result], tmp_path: Path
) -> None:
    """Nodes with another plugin, torch or fmbench are told, and others do the work."""
    install = functools.partial(install_into, code="fmbench_x = 1", entry="x")
    sites = {name: tmp_path / name for name in ("plugin-good", "torch", "fashion-mnist-bench")}
    for name, site in sites.items():
        site.mkdir()
        install(site, name, version="9.9")
        if name != "plugin-good":
            (site / f"{name.replace('-', '_')}.py").unlink()
    added = [cluster.add(PYTHONPATH=f"{site}:{ray.shared / 'site'}") for site in sites.values()]
    said = ray.run("good")
    for node in added:
        cluster.remove(node)
    refused = [line for line in said.splitlines() if "is not used" in line]
    assert len(refused) == len(sites)
    for words in ("plugin-good 9.9", "torch 9.9", "fmbench 9.9"):
        assert words in "\n".join(refused)
    assert ray.results().items() <= expected.items()
    assert len(ray.results()) == SEEDS


@pytest.mark.cluster
def test_what_no_node_can_do_is_an_error_at_once(ray: Bench, cluster: RayCluster) -> None:
    """Where all differ, or none has the cores or a GPU, the command ends with 2 and a hint."""
    two = ray.tiny.variant(ray.folder / "two.toml", ('"float32"', '"float32"\nthreads = 2'))
    said = ray.run("good", "--protocol", two, code=ExitCode.USAGE)
    assert "no node of the cluster has 2 CPUs" in said
    assert "hint: " in said
    gpu = ray.tiny.variant(
        ray.folder / "gpu.toml",
        ("[devices.cpu]", '[devices.cuda]\nprecision = "float32"\nthreads = 1\n\n[devices.cpu]'),
    )
    said = ray.run("good", "--protocol", gpu, "--device", "cuda", code=ExitCode.USAGE)
    assert "no node of the cluster has 1 CPUs and a GPU" in said
    site = ray.folder / "site"
    site.mkdir()
    install_into(site, "plugin-good", offering("good=linear"))
    other = replace(ray, environment=ray.environment | {"PYTHONPATH": str(site)})
    said = other.run("good", code=ExitCode.USAGE)
    assert said.count("plugin-good 1.0, or with another source") >= 2
    assert "hint: " in said
    lost = replace(ray, options=("--engine", "ray", "--address", "127.0.0.1:1"))
    said = lost.run("good", code=ExitCode.USAGE)
    assert "no Ray cluster can be joined at 127.0.0.1:1" in said
    assert ray.records() == ()


@pytest.mark.cluster
def test_a_driver_without_a_gpu_plans_for_nodes_that_have_one(
    ray: Bench, cluster: RayCluster
) -> None:
    """`--device cuda` asks the cluster, not this machine; a GPU that fails blames no model."""
    node = cluster.add(gpus=1)
    gpu = ray.tiny.variant(
        ray.folder / "gpu.toml",
        ("[devices.cpu]", '[devices.cuda]\nprecision = "float32"\nthreads = 1\n\n[devices.cpu]'),
    )
    said = ray.run("good", "--protocol", gpu, "--device", "cuda", code=ExitCode.USAGE)
    cluster.remove(node)
    assert "there is no device cuda" in said
    assert "hint: " in said
    assert ray.records() == ()


@pytest.mark.cluster
def test_logs_progress_and_timeouts_come_through(ray: Bench) -> None:
    """What a plugin prints is shown, epochs are told as they end, and a run may take too long."""
    ray.hold()
    said = ray.run("waiting", "--seeds", 1, "-p", "epochs-noted", "--timeout", 20, code=1)
    ray.release()
    (record,) = ray.records()
    assert record.result.status == "timeout", said
    assert "it took longer than 20 s" in record.result.message
    assert "1 1" in (ray.folder / "epochs.txt").read_text().splitlines()
    command = [Path(sys.executable).with_name("fmbench"), "show", record.id]
    shown = subprocess.run(
        command, cwd=ray.folder, env=ray.environment, capture_output=True, text=True
    )
    assert "it waits" in shown.stdout


def test_without_ray_the_install_line_is_told(local: Bench) -> None:
    """Where Ray is not installed, the command ends with exit 2 and the line that installs it."""
    (local.folder / "without").mkdir()
    (local.folder / "without" / "sitecustomize.py").write_text(
        "import sys; sys.modules['ray'] = None"
    )
    path = f"{local.folder / 'without'}:{local.shared / 'site'}"
    bench = replace(
        local,
        options=("--engine", "ray"),
        environment=local.environment | {"PYTHONPATH": path},
    )
    said = bench.run("good", code=ExitCode.USAGE)
    assert "Ray is not installed" in said
    assert "pip install 'fashion-mnist-bench[ray]'" in said


def test_the_local_engine_never_imports_ray(local: Bench) -> None:
    """A run on this machine does not touch Ray, in no process, be it installed or not."""
    fake = local.folder / "fake" / "ray"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(f"open({str(local.folder / 'imported')!r}, 'w')")
    path = f"{fake.parent}:{local.shared / 'site'}"
    bench = replace(local, environment=local.environment | {"PYTHONPATH": path})
    bench.run("good", "--seeds", 1)
    assert not (local.folder / "imported").exists()
