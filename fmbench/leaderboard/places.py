"""What the places are called in which records were made."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from fmbench.records import Record
from fmbench.wording import counted


def place_names(shown: Sequence[Record], *, with_threads: bool = False) -> Callable[[Record], str]:
    """How to name where a record was made, so that times compare within a name.

    By the device; where one name stands for several, with the beginning of their digests; where a
    CPU had several numbers of threads, or always, with these.
    """

    def digest(record: Record) -> str:
        return record.environment.device.digest[:6] or "not identified"

    def threads(record: Record) -> str:
        on_cpu = record.environment.device.kind == "cpu"
        return counted(record.environment.threads, "thread") if on_cpu else ""

    said: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for record in shown:
        digests, counts = said[record.environment.device.name]
        digests.add(digest(record))
        counts.add(threads(record))

    def place(record: Record) -> str:
        name = record.environment.device.name
        digests, counts = said[name]
        name += f", {digest(record)}" if len(digests) > 1 else ""
        suffix = threads(record) if with_threads or len(counts) > 1 else ""
        return f"{name}, {suffix}" if suffix else name

    return place
