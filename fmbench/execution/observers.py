"""Telling observers what happens; one that fails is dropped, and costs nobody a run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pluggy

from fmbench import hookspecs
from fmbench.errors import PluginError
from fmbench.processes import kept_apart
from fmbench.records import Progress, Record, Run
from fmbench.wording import raised


def manager_of(name: str, observer: object) -> pluggy.PluginManager:
    """An observer alone, held to the hook specifications.

    Raises `PluginError` when it implements none of the hooks, or one that does not exist.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs.ObserverHooks)
    try:
        manager.register(observer, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(
            str(error).strip(),
            where=name,
            hint="its hooks and their arguments are those of fmbench.hookspecs.ObserverHooks",
        ) from error
    if not manager.get_hookcallers(observer):
        raise PluginError(
            "the observer implements no hook",
            where=name,
            hint="write @fmbench.hookimpl above def fmbench_run_end(record)",
        )
    return manager


@dataclass
class Observers:
    """The parts of fmbench and the installed observers that are called.

    own:    parts of fmbench; their faults are ours and are raised.
    guests: installed observers by name; the first fault of one is said, and it is called no more.
    """

    own: Iterable[object] = ()
    guests: Mapping[str, object] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self._own = [manager_of(type(one).__name__, one) for one in self.own]
        self._guests = {name: manager_of(name, one) for name, one in self.guests.items()}

    def run_start(self, run: Run) -> None:
        """A worker has begun a run."""
        self._tell("fmbench_run_start", run=run)

    def epoch_end(self, progress: Progress) -> None:
        """A run has come further."""
        self._tell("fmbench_epoch_end", progress=progress)

    def run_end(self, record: Record) -> None:
        """A record is safely stored."""
        self._tell("fmbench_run_end", record=record)

    def run_again(self, run: Run, why: str) -> None:
        """A run is lost, and will begin again."""
        self._tell("fmbench_run_again", run=run, why=why)

    def _tell(self, hook: str, **what: object) -> None:
        for manager in self._own:
            getattr(manager.hook, hook)(**what)
        for name, manager in tuple(self._guests.items()):
            try:
                with kept_apart():
                    getattr(manager.hook, hook)(**what)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # asyncio's CancelledError, say
                del self._guests[name]
                self.say(
                    f"the observer {name} failed at {hook} and is called no more: {raised(error)}"
                )
