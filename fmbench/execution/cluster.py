"""The engine that places jobs on a Ray cluster: on this machine alone, or one that is running."""

import contextlib
import importlib
import importlib.util
import math
import os
import secrets
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fmbench import limits, processes
from fmbench.errors import UsageError
from fmbench.execution import ray_node
from fmbench.execution.job import Inputs, Job, JobFolder
from fmbench.execution.plan import Setting
from fmbench.execution.ray_node import Identity
from fmbench.execution.ray_worker import SECONDS_TO_END, Node, RayWorker
from fmbench.records import Plugin

SECONDS_TO_ANSWER = 120.0
"""How long a node may take to say what it is: it imports fmbench first."""

OWN_FOLDER = "fmb-"
"""What the names of our own clusters' folders begin with: short, see `_start`."""

OBJECT_STORE = 256 * 1024 * 1024
"""Bytes of a store that fmbench starts itself: the inputs of two stages, and some news."""

ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Settings of a cluster that fmbench starts: it reports nothing, and asks everybody for a token. By
the last one it listens on the loopback device alone, as Ray does by itself on macOS and Windows.
"""


class RayEngine:
    """Places jobs on the nodes whose versions and sources are those of this process.

    plugins: of the models to be run.
    address: of a running cluster, `HOST:PORT` or `auto`; empty to start one on this machine.
    workers: how many jobs at once; None for as many as nodes have cores for.
    shared:  a folder of checkpoints that all nodes see; None where there is none.
    say:     told which nodes are not used, and why.

    Raises `UsageError` when Ray is not installed, there is no such cluster, or no node fits.
    """

    def __init__(
        self,
        setting: Setting,
        plugins: Sequence[Plugin],
        *,
        address: str = "",
        workers: int | None = None,
        shared: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._setting = setting
        self._plugins = [msgspec.json.encode(plugin) for plugin in plugins]
        self._workers = workers
        self._shared = str(shared.resolve()) if shared else ""
        self._say = say
        self._own_folder: Path | None = None
        self._inputs: dict[str, Any] = {}
        self._under_way: list[RayWorker] = []
        self._asked: dict[str, Any] = {}
        self._differing: dict[str, str] = {}
        self._nodes: list[Node] = []
        if not address:  # Ray reads its settings when it is imported
            for name, value in ALONE.items():
                os.environ.setdefault(name, value)
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        self._ray = _import_ray()
        self._me = msgspec.json.decode(ray_node.identify(self._plugins), type=Identity)
        try:
            self._start() if not address else self._join(address)
            self._asking = self._ray.remote(ray_node.identify)
            self._working = self._ray.remote(max_calls=1)(ray_node.work)  # a process for each job
            self._clearing = self._ray.remote(ray_node.clear_leftovers)
            self._look_at_nodes(wait=True)
            able = self._able()
        except BaseException:
            self.close()
            raise
        gpus = sum(node.gpus for node in able)
        self._gpu_share = min(1.0, gpus / workers) if workers else 1.0

    @property
    def slots(self) -> int:
        """How many jobs the nodes that are known now have room for, or as many as were asked."""
        threads, cuda = self._setting.threads, self._setting.device.kind == "cuda"
        room = (int(node.gpus if cuda else node.cpus // threads) for node in self._nodes)
        return self._workers or max(1, sum(room))

    def has_room(self, memory: float) -> bool:
        """Whether a node has cores, memory and a GPU, if need be, for another job now."""
        self._under_way = [one for one in self._under_way if one.ended() is None]
        self._look_at_nodes(wait=False)
        return len(self._under_way) < self.slots and self._place(memory) is not None

    def start(self, job: Job, folder: JobFolder, memory: float) -> "RayWorker":
        """Send a job to the node on which fewest of ours are under way."""
        node = self._place(memory) or self._able()[0]
        folder.write_job(job)
        if job.inputs not in self._inputs:
            arrays = Inputs(Path(job.inputs))
            names = ("train_images", "train_labels", "evaluation_images")
            self._inputs[job.inputs] = self._ray.put({name: arrays.read(name) for name in names})
        cuda = job.device.kind == "cuda"
        here = job.checkpoints if self._own_folder else ""  # the store's, where all is one machine
        sent = msgspec.structs.replace(job, checkpoints=self._shared or here)
        need = min(memory, node.memory)
        stream = self._working.options(
            num_cpus=job.threads,
            num_gpus=self._gpu_share if cuda else 0,
            memory=int(need),
            max_retries=0,
            scheduling_strategy=self._on(node.id),
        ).remote(msgspec.json.encode(sent), self._inputs[job.inputs], need, cuda)
        worker = RayWorker(self._ray, stream, folder, node, memory)
        self._under_way.append(worker)
        return worker

    def close(self) -> None:
        """Leave no folder on any node; end the cluster that was started here."""
        if not self._ray.is_initialized():
            self._nodes = []
        cleared = [
            self._clearing.options(
                num_cpus=0, max_retries=0, scheduling_strategy=self._on(node.id)
            ).remote()
            for node in self._nodes
        ]
        if cleared:
            self._ray.wait(cleared, num_returns=len(cleared), timeout=SECONDS_TO_END)
        self._ray.shutdown()
        if self._own_folder:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def _start(self) -> None:
        """Start a cluster on this machine that listens on the loopback device alone.

        Its folder is named after this process, so that another can tell when it is dead. Sockets
        lie in it, whose paths may have 107 bytes.
        """
        base = Path(tempfile.gettempdir())
        for folder in base.glob(f"{OWN_FOLDER}*"):
            owner = processes.owner_of(folder.name.removeprefix(OWN_FOLDER))
            if owner and not owner.alive:
                shutil.rmtree(folder, ignore_errors=True)
        self._own_folder = base / f"{OWN_FOLDER}{processes.identify().folder_name}"
        self._own_folder.mkdir(mode=0o700)
        with contextlib.chdir(self._own_folder):  # else its nodes import from the current folder
            self._ray.init(
                address="local",
                num_cpus=limits.cores(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                log_to_driver=False,
                logging_level="error",
                _temp_dir=str(self._own_folder),
            )

    def _join(self, address: str) -> None:
        try:
            host, _, port = address.rpartition(":")
            if port.isdecimal():  # Ray would wait for minutes
                socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_END).close()
            with contextlib.chdir("/"):  # as in `_start`
                self._ray.init(address=address, log_to_driver=False, logging_level="error")
        except Exception as error:  # Ray raises what it likes: ConnectionError, RuntimeError, ...
            said = str(error).strip().partition("\n")[0]
            raise UsageError(
                f"no Ray cluster can be joined at {address}: {said}",
                where="--address",
                hint="start one with: ray start --head; docs/many-machines.md says how",
            ) from error

    def _look_at_nodes(self, *, wait: bool) -> None:
        """Ask nodes that are new what they are; take in what they answer, and who is gone."""
        alive = {one["NodeID"]: one for one in self._ray.nodes() if one["Alive"]}
        self._nodes = [node for node in self._nodes if node.id in alive]
        known = {node.id for node in self._nodes} | self._asked.keys() | self._differing.keys()
        for id_ in alive.keys() - known:
            options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": self._on(id_)}
            self._asked[id_] = self._asking.options(**options).remote(self._plugins)
        if not self._asked:
            return
        self._ray.wait(
            list(self._asked.values()),
            num_returns=len(self._asked),
            timeout=SECONDS_TO_ANSWER if wait else 0,
        )
        for id_, answer in tuple(self._asked.items()):
            if id_ not in alive:
                del self._asked[id_]
            elif wait or self._ray.wait([answer], timeout=0)[0]:
                self._take_in_answer(id_, self._asked.pop(id_), alive[id_])

    def _take_in_answer(self, id_: str, answer: Any, facts: dict[str, Any]) -> None:
        address = facts["NodeManagerAddress"]
        try:
            identity = msgspec.json.decode(self._ray.get(answer, timeout=1), type=Identity)
            difference = self._me.difference(identity)
        except Exception as error:  # whatever its import of fmbench raises, or no answer
            said = str(error).strip().rpartition("\n")[2]
            difference = f"it cannot say what is installed there: {said}"
        if difference:
            self._differing[id_] = f"the node {address} is not used: {difference}"
            self._say(self._differing[id_])
            return
        has = facts["Resources"]
        self._nodes.append(
            Node(id_, address, has.get("CPU", 0), has.get("GPU", 0), has.get("memory", math.inf))
        )

    def _able(self) -> list[Node]:
        """The nodes that can make a run of this command; raises `UsageError` when there is none."""
        setting = self._setting
        able = [
            node
            for node in self._nodes
            if node.cpus >= setting.threads and (setting.device.kind == "cpu" or node.gpus)
        ]
        if able or self._asked:
            return able
        wanted = f"{setting.threads} CPUs" + (" and a GPU" if setting.device.kind == "cuda" else "")
        raise UsageError(
            "; ".join([f"no node of the cluster has {wanted} to give", *self._differing.values()]),
            where="--engine ray",
            hint="install the same versions on every node; --threads N asks for fewer CPUs",
        )

    def _place(self, memory: float) -> Node | None:
        """The node for another job: that with most room left; None when none has any."""
        busy = Counter(one.node.id for one in self._under_way)
        taken = dict.fromkeys(busy, 0.0)
        for one in self._under_way:
            taken[one.node.id] += one.memory
        threads = self._setting.threads
        gpu = self._gpu_share if self._setting.device.kind == "cuda" else 0.0
        free = [
            node
            for node in self._able()
            if node.cpus >= (busy[node.id] + 1) * threads
            and node.gpus >= (busy[node.id] + 1) * gpu
            and (node.id not in taken or taken[node.id] + memory <= node.memory)
        ]
        return max(free, key=lambda node: node.cpus - busy[node.id] * threads, default=None)

    def _on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)


def _import_ray() -> Any:
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "Ray is not installed",
            where="--engine ray",
            hint="pip install 'fashion-mnist-bench[ray]', or Ray itself: pip install 'ray>=2.59'",
        )
    import ray

    with contextlib.suppress(ImportError):  # it prints pages about each node that is lost
        printing: Any = importlib.import_module("ray._private.worker")
        printing.listen_error_messages = lambda *_: None
    return ray
