"""Provenance: where each row comes from, run by run, and the command that makes it again."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fmbench import protocol
from fmbench.errors import FmbenchError
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.wording import memory, versions

CODE = ("Source digest", "Device digest", "fmbench commit")
"""Facts whose values are shown as code."""


@dataclass(frozen=True)
class Origin:
    """A row's provenance.

    commands: what makes one of its runs again, and what all of them, in the page's folder.
    facts:    by their names what the row's records say of where they come from, each value once.
    """

    model: BoardModel
    commands: tuple[str, str]
    facts: dict[str, tuple[str, ...]]


def origins(stored: StoredResults, models: Sequence[BoardModel]) -> tuple[Origin, ...]:
    """The provenance of each model."""
    ask = shlex.quote(_how_to_ask(stored.protocol))
    found = []
    for model in models:
        request = model.entry.model
        if model.name != request:  # two distributions offer it
            request = f"{model.entry.plugin.distribution}:{request}"
        one = (*model.entry.ok, *model.entry.records)[0].id
        kept = shlex.quote(stored.protocol.id)
        again = f"fmbench reproduce {shlex.quote(one)} --results .. --protocol {kept}"
        run = f"fmbench run {shlex.quote(request)} --protocol {ask}"
        found.append(Origin(model, (again, run), _facts(model)))
    return tuple(found)


def _how_to_ask(of: Protocol) -> str:
    """What `--protocol` takes: the name where it means these very rules, else the file kept."""
    try:
        if protocol.load(of.id).digest == of.digest:
            return of.id
    except FmbenchError:
        pass
    return f"protocol-{of.digest[:8]}.toml"


def _facts(model: BoardModel) -> dict[str, tuple[str, ...]]:
    plugin = model.entry.plugin

    def each(pick: Callable[[Record], str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, map(pick, model.entry.records))))

    facts = {
        "Distribution": (f"{plugin.distribution} {plugin.version}",),
        "Entry point": (plugin.entry,),
        "Source digest": (plugin.source,),
        "Dependencies": (versions(plugin.dependencies),),
        "torch": each(lambda record: record.run.torch),
        "Recipe": (model.recipe,),
        "Training semantics": each(lambda record: str(record.run.semantics)),
        "Device": each(_device),
        "Device digest": each(lambda record: record.environment.device.digest),
        "Not as the protocol says": each(lambda record: record.departure),
        "Driver": each(lambda record: record.environment.device.driver),
        "CPU": each(lambda record: record.environment.cpu),
        "Cores, threads": each(_cores),
        "Memory": each(lambda record: memory(record.environment.memory)),
        "Operating system": each(lambda record: record.environment.os),
        "Python": each(lambda record: record.environment.python),
        "Libraries": each(lambda record: versions(record.environment.libraries)),
        "fmbench": each(lambda record: record.environment.fmbench),
        "fmbench commit": each(lambda record: record.environment.commit),
        "Reproducibility": each(lambda record: record.reproducibility),
    }
    return {name: values for name, values in facts.items() if any(values)}


def _device(record: Record) -> str:
    device = record.environment.device
    return f"{device.name} ({device.torch_name}), {memory(device.memory)}"


def _cores(record: Record) -> str:
    return f"{record.environment.cores}, {record.environment.threads}"
