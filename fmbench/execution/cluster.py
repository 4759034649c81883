"""The engine that places jobs on a Ray cluster: on this machine alone, or one that is running."""

import importlib.util
import math
import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fmbench import limits
from fmbench.errors import UsageError
from fmbench.execution import ray_node
from fmbench.execution.engines import Lost
from fmbench.execution.job import Inputs, Job, JobFolder, RunOutcome
from fmbench.execution.plan import Setting
from fmbench.execution.ray_node import Identity, News
from fmbench.records import Plugin

SECONDS_TO_ANSWER = 120.0
"""How long a node may take to say what it is: it imports fmbench first."""

SECONDS_TO_END = 10.0
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


@dataclass(frozen=True)
class Node:
    """A node that may make runs: its id and address in the cluster, and what it has."""

    id: str
    address: str
    cpus: float
    gpus: float
    memory: float


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
        self._me = msgspec.json.decode(ray_node.identify(self._plugins), type=Identity)
        self._say = say
        self._own_folder = ""
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
        if address:
            self._join(address)
        else:
            self._start()
        self._shared = str(shared.resolve()) if shared else ""
        self._asking = self._ray.remote(ray_node.identify)
        self._working = self._ray.remote(max_calls=1)(ray_node.work)  # a process for each job
        self._clearing = self._ray.remote(ray_node.clear_leftovers)
        self._look_at_nodes(wait=True)
        able = self._able()
        per_node = sum(max(1, int(node.cpus // setting.threads)) for node in able)
        gpus = sum(node.gpus for node in able)
        self.slots = workers or (max(1, int(gpus)) if setting.device.kind == "cuda" else per_node)
        self._gpu_share = min(1.0, gpus / self.slots)

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
        """Start a cluster on this machine that listens on the loopback device alone."""
        self._own_folder = tempfile.mkdtemp(prefix="fmb-")  # short: sockets' paths may be 108 bytes
        self._ray.init(
            address="local",
            num_cpus=limits.cores(),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=self._own_folder,
        )

    def _join(self, address: str) -> None:
        try:
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
            hint="install the same versions on every node, or give one to this command",
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


class RayWorker:
    """A job on a node, whose files come back as news and lie in the runner's folder of the job.

    memory: bytes that it is taken to need.
    """

    def __init__(self, ray: Any, stream: Any, folder: JobFolder, node: Node, memory: float) -> None:
        self.pid = os.getpid()  # here nobody else would go on with it
        self.node = node
        self.memory = memory
        self._ray = ray
        self._stream = stream
        self._folder = folder
        self._log = b""
        self._end: RunOutcome | Lost | None = None

    def ended(self) -> RunOutcome | Lost | None:
        """Take in the news, and say what the worker's end makes of the run it was at."""
        while self._end is None and self._ray.wait([self._stream], timeout=0)[0]:
            self._take_in()
        return self._end

    def log(self) -> bytes:
        """What it and all it started have printed, as far as that has come here."""
        return self._log

    def settle(self) -> None:
        """Ray has set memory aside for it, and does not take less."""

    def ask_to_stop(self) -> None:
        """Ask the job's process to end the worker and all it started."""
        if self._end is None:
            self._ray.cancel(self._stream)

    def stop(self) -> None:
        """End the worker and all it started; a process that does not is killed."""
        self.ask_to_stop()
        for force in (False, True):
            if self._end is None and force:
                self._ray.cancel(self._stream, force=True)
            while self._end is None:
                if not self._ray.wait([self._stream], timeout=SECONDS_TO_END)[0]:
                    break
                self._take_in()

    def _take_in(self) -> None:
        errors = self._ray.exceptions
        try:
            content = self._ray.get(next(self._stream))
        except StopIteration:
            self._end = Lost(f"the node {self.node.address} said nothing more")
        except errors.OutOfMemoryError:
            self._end = RunOutcome(status="oom", message="Ray ended the worker: out of memory")
        except errors.RayError as error:
            said = str(error).strip().rpartition("\n")[2]
            self._end = Lost(f"the node {self.node.address} is lost, or its process: {said}")
        else:
            news = msgspec.msgpack.decode(content, type=News)
            news.apply(self._folder.path)
            self._log = self._log if news.log is None else news.log
            self._end = news.ended


def _import_ray() -> Any:
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "Ray is not installed",
            where="--engine ray",
            hint="pip install 'ray>=2.59', or fmbench with its extra: 'fashion-mnist-bench[ray]'",
        )
    import ray

    return ray
