"""A real Ray cluster of several nodes on this machine, in a process of its own.

`python tests/ray_cluster.py PARENT` starts a head without cores and then does what its input says,
a line of JSON each: to add a node, or to remove one. It ends with its input, or with its parent.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self, cast

from fmbench import processes
from fmbench.execution.cluster import ALONE


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of a short path: Ray's sockets lie in it, whose paths may have 107 bytes."""
    folder = tempfile.mkdtemp(prefix="fmt-", dir="/tmp")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class RayCluster:
    """A cluster that a test starts, and changes while something runs on it.

    nodes:       their ids, the head's not among them.
    environment: what a process needs to join it, and so that nothing lies outside its folder.
    address:     where its head listens.
    """

    def __init__(self, environment: dict[str, str], **settings: str) -> None:
        self.nodes: list[str] = []
        self._folder = temporary_folder()
        self.folder = self._folder.__enter__()
        self.environment = environment | ALONE | settings
        self.environment |= {
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_TMPDIR": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        self._child = subprocess.Popen(
            [sys.executable, __file__, str(os.getpid())],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self.address = str(self._answer())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, cpus: int = 1, gpus: int = 0, **environment: str) -> str:
        """Add a node, with variables of its own, and return its id."""
        asked = {"cpus": cpus, "gpus": gpus, "environment": environment}
        self.nodes.append(str(self._ask(asked)))
        return self.nodes[-1]

    def remove(self, node: str) -> None:
        """Kill all processes of a node."""
        self.nodes.remove(node)
        self._ask({"remove": node})

    def close(self) -> None:
        """End all of it."""
        if self._child.poll() is None:
            self._child.communicate()
        self._folder.__exit__(None, None, None)

    def _ask(self, what: dict[str, Any]) -> Any:
        assert self._child.stdin
        self._child.stdin.write(json.dumps(what) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._child.stdout
        return json.loads(self._child.stdout.readline())


def main(parent: str) -> None:
    """Start a cluster, say its address, and do what is asked."""
    signal.signal(signal.SIGTERM, _leave)
    processes.end_with_parent(signal.SIGTERM, int(parent))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints what it likes
    os.environ["CUDA_VISIBLE_DEVICES"] = "63"  # nodes may claim a GPU, and there is none
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = {}
    try:
        print(json.dumps(cluster.address), file=answers, flush=True)
        for line in sys.stdin:
            asked = cast(dict[str, Any], json.loads(line))
            if "remove" in asked:
                cluster.remove_node(nodes.pop(asked["remove"]), allow_graceful=False)
                said = ""
            else:
                node = cluster.add_node(
                    num_cpus=asked["cpus"],
                    num_gpus=asked["gpus"],
                    env_vars=asked["environment"],
                    include_dashboard=False,
                )
                said = node.node_id
                nodes[said] = node
            print(json.dumps(said), file=answers, flush=True)
    finally:
        cluster.shutdown()


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main(sys.argv[1])
