"""Provenance: where each row comes from, run by run, and the command that makes it again."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fmbench import protocol
from fmbench.errors import FmbenchError
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.protocol import Protocol
from fmbench.records import Record
from fmbench.wording import memory, percent, versions


@dataclass(frozen=True)
class ProvenanceFact:
    """A name and the values that the row's records give it, each once; `code` for digests."""

    name: str
    values: tuple[str, ...]
    code: bool = False


@dataclass(frozen=True)
class RunLine:
    """One run as a line: what it was, how it ended, and the record that says so."""

    stage: str
    seed: int
    recipe: str
    status: str
    accuracy: str
    message: str
    record: str
    created: str
    key: str


@dataclass(frozen=True)
class Origin:
    """A row's provenance."""

    name: str
    anchor: str
    status: str
    command: str
    facts: tuple[ProvenanceFact, ...]
    runs: tuple[RunLine, ...]


def origins(stored: StoredResults, models: Sequence[BoardModel]) -> tuple[Origin, ...]:
    """The provenance of each model."""
    ask = _how_to_ask(stored.protocol)
    offered = [model.row.model for model in models]
    return tuple(
        _origin(model, ask, ambiguous=offered.count(model.row.model) > 1) for model in models
    )


def _how_to_ask(of: Protocol) -> str:
    """What `--protocol` takes: the name where it means these very rules, else the file kept."""
    try:
        if protocol.load(of.id).digest == of.digest:
            return of.id
    except FmbenchError:
        pass
    return f"protocol-{of.digest[:8]}.toml"


def _origin(model: BoardModel, ask: str, *, ambiguous: bool) -> Origin:
    entry = model.entry
    full_name = f"{entry.plugin.distribution}:{entry.model}" if ambiguous else entry.model
    return Origin(
        name=model.name,
        anchor=model.anchor,
        status=model.row.status,
        command=f"fmbench run {shlex.quote(full_name)} --protocol {shlex.quote(ask)}",
        facts=tuple(fact for fact in _facts(model) if any(fact.values)),
        runs=tuple(_line(record) for record in (*entry.finals, *entry.tunes)),
    )


def _facts(model: BoardModel) -> Iterable[ProvenanceFact]:
    plugin = model.entry.plugin
    found = (*model.entry.finals, *model.entry.tunes)

    def each(pick: Callable[[Record], str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(pick(record) for record in found))

    yield ProvenanceFact("Distribution", (f"{plugin.distribution} {plugin.version}",))
    yield ProvenanceFact("Entry point", (plugin.entry,))
    yield ProvenanceFact("Source digest", (plugin.source,), code=True)
    yield ProvenanceFact("Dependencies", (versions(plugin.dependencies),))
    yield ProvenanceFact("torch", each(lambda record: record.run.torch))
    yield ProvenanceFact("Recipe", (model.recipe,))
    yield ProvenanceFact("Training semantics", each(lambda record: str(record.run.semantics)))
    yield ProvenanceFact("Device", each(_device))
    yield ProvenanceFact(
        "Device digest", each(lambda record: record.environment.device.digest), code=True
    )
    yield ProvenanceFact("Not as the protocol says", each(lambda record: record.departure))
    yield ProvenanceFact("Driver", each(lambda record: record.environment.device.driver))
    yield ProvenanceFact("CPU", each(lambda record: record.environment.cpu))
    yield ProvenanceFact("Cores, threads", each(_cores))
    yield ProvenanceFact("Memory", each(lambda record: memory(record.environment.memory)))
    yield ProvenanceFact("Operating system", each(lambda record: record.environment.os))
    yield ProvenanceFact("Python", each(lambda record: record.environment.python))
    yield ProvenanceFact("Libraries", each(lambda record: versions(record.environment.libraries)))
    yield ProvenanceFact("fmbench", each(lambda record: record.environment.fmbench))
    yield ProvenanceFact(
        "fmbench commit", each(lambda record: record.environment.commit), code=True
    )
    yield ProvenanceFact("Reproducibility", each(lambda record: record.reproducibility))


def _device(record: Record) -> str:
    device = record.environment.device
    return f"{device.name} ({device.torch_name}), {memory(device.memory)}"


def _cores(record: Record) -> str:
    return f"{record.environment.cores}, {record.environment.threads}"


def _line(record: Record) -> RunLine:
    accuracy = record.result.accuracy
    return RunLine(
        stage=record.run.stage,
        seed=record.run.seed,
        recipe=record.run.recipe,
        status=record.result.status,
        accuracy="" if accuracy is None else percent(accuracy),
        message=record.result.message,
        record=record.id,
        created=record.created,
        key=record.key,
    )
