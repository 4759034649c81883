"""A job on a node of a Ray cluster, as the runner sees it."""

import os
from dataclasses import dataclass
from typing import Any

import msgspec

from fmbench.execution.engines import Lost
from fmbench.execution.job import JobFolder, RunOutcome
from fmbench.execution.ray_node import News

SECONDS_TO_END = 10.0


@dataclass(frozen=True)
class Node:
    """A node that may make runs: its id and address in the cluster, and what it has."""

    id: str
    address: str
    cpus: float
    gpus: float
    memory: float


class RayWorker:
    """A job on a node, whose files come back as news and lie in the runner's folder of the job.

    memory: bytes that it is taken to need.
    """

    def __init__(self, ray: Any, stream: Any, folder: JobFolder, node: Node, memory: float) -> None:
        self.pid = os.getpid()  # here nobody else would go on with it
        self.node = node
        self.place = node.id
        self.memory = memory
        self._ray = ray
        self._stream = stream
        self._folder = folder
        self._log = b""
        self._asked = False
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
        if self._end is None and not self._asked:
            self._asked = True  # once: it would be interrupted in what it does about it
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
            said = str(error).strip().rpartition("\n")[2].partition(". ")[0]
            self._end = Lost(f"the node {self.node.address} is lost, or its process: {said}")
        else:
            news = msgspec.msgpack.decode(content, type=News)
            news.apply(self._folder.path)
            self._log = self._log if news.log is None else news.log
            self._end = news.ended
