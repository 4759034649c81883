"""A plugin's import, watched: what it changes, and who loads torch."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fmbench.contract import Model
from fmbench.testing.process_state import SideEffects, random_streams
from fmbench.testing.reports import may_be_the_plugins

HEAVY = "torch"


@dataclass(frozen=True)
class Imported:
    """A model as its plugin offers it, or what its import raised.

    heavy: the file and line that imported torch; empty when none did.
    """

    outcome: Model | BaseException
    heavy: str = ""

    @property
    def model(self) -> Model:
        """The model; raises what the import raised."""
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def import_model(load: Callable[[], Model], effects: SideEffects) -> Imported:
    """Import a plugin in this process, which has not loaded torch yet."""
    finder, streams = _TorchFinder(), random_streams()
    outcome: Model | BaseException
    sys.meta_path.insert(0, finder)
    with effects.during("import"):
        try:
            outcome = load()
        except BaseException as error:  # whatever a plugin raises, SystemExit too
            outcome = error
    sys.meta_path.remove(finder)
    now = random_streams()
    effects.changes += [
        f"import changes the random stream of {name}" for name in now if now[name] != streams[name]
    ]
    return Imported(outcome, finder.importer if HEAVY in sys.modules else "")


class _TorchFinder:
    """Finds nothing, but sees who imports torch first."""

    importer = ""

    def find_spec(self, name: str, *_: object) -> None:
        if name == HEAVY and not self.importer:
            for frame in traceback.extract_stack()[:-1]:  # from the outside in
                if may_be_the_plugins(frame.filename):
                    self.importer = f"{Path(frame.filename).name}, line {frame.lineno}"
                    return
