"""A plugin's import, watched: what it changes, and who loads torch."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from fmbench.contract import Model
from fmbench.testing.process_state import SideEffects, random_streams
from fmbench.testing.reports import line_of_plugin

HEAVY = "torch"


@dataclass(frozen=True)
class Imported:
    """A model as its plugin offers it, or what its import raised.

    heavy: the line that imported torch; empty when none did.
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
    """Import a plugin in this process, which has not loaded torch yet and ends after the check."""
    finder = _TorchFinder()
    sys.meta_path.insert(0, finder)
    outcome: Model | BaseException
    try:
        with effects.during("import", random_streams):
            outcome = load()
    except BaseException as error:  # whatever a plugin raises, SystemExit too
        outcome = error
    return Imported(outcome, finder.importer if HEAVY in sys.modules else "")


class _TorchFinder:
    """Finds nothing, but sees who imports torch first."""

    importer = ""

    def find_spec(self, name: str, *_: object) -> None:
        if name == HEAVY and not self.importer:
            self.importer = line_of_plugin(traceback.extract_stack())  # from the outside in
