"""What the metadata of installed distributions offers: entry points, and what cannot be read."""

import re
from dataclasses import dataclass, field
from importlib import metadata
from importlib.metadata import Distribution, EntryPoint

from msgspec import Struct

from fmbench.discovery import choice
from fmbench.environment import normal_name
from fmbench.records import Plugin
from fmbench.wording import encodable

GROUP = "fmbench"
OBSERVERS = "fmbench.observers"


class Entry(Struct, frozen=True, order=True):
    """One entry point of the group: which distribution offers which object under which name."""

    distribution: str
    version: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.distribution}[{self.name}]"

    @property
    def module(self) -> str:
        """The module that the entry points into."""
        found = re.match(r"[\w.]*", self.value)  # before an object, and extras in brackets
        return found[0] if found else ""

    @property
    def import_hint(self) -> str:
        """What to type to see a fault at import for oneself."""
        return f"see why with: python -c 'import {self.module}'"


class Problem(Struct, frozen=True, kw_only=True):
    """Why an entry offers less than it might, or a distribution nothing."""

    entry: str
    version: str
    what: str
    hint: str = ""


@dataclass(frozen=True)
class Installed:
    """What there is in this environment, whether or not it takes part.

    plugins:   entry points of models by the normal name of their distribution. Of one that lies on
               the path twice the first counts, as it does for `import`.
    observers: those of observers by their own names, one for each distribution.
    problems:  distributions whose metadata cannot be read, by their folders.
    """

    plugins: dict[str, set[Entry]] = field(default_factory=dict)
    observers: dict[str, list[EntryPoint]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def installed() -> Installed:
    """Read the metadata of every distribution; one that is broken costs only itself."""
    found = Installed()
    for distribution in metadata.distributions():
        try:
            _add(distribution, found)
        except Exception as error:  # a parser that met what is no metadata
            problem = Problem(
                entry=encodable(str(getattr(distribution, "_path", distribution.locate_file("")))),
                version="",
                what=encodable(f"the metadata of a distribution cannot be read: {error}"),
                hint="install it again, or remove the folder",
            )
            found.problems.append(problem)
    return found


def entries() -> list[Entry]:
    """The entry points of models that take part, sorted."""
    return taking_part(installed())


def taking_part(found: Installed) -> list[Entry]:
    """Those of them that `choice` does not leave out, sorted."""
    return sorted(
        entry
        for name, of_one in found.plugins.items()
        if choice.takes_part(name)
        for entry in of_one
    )


def entry_of(plugin: Plugin) -> Entry | None:
    """The entry a plugin's provenance names, while it is installed."""
    wanted = (plugin.distribution, plugin.entry)
    return next((e for e in entries() if (e.distribution, e.name) == wanted), None)


def _add(distribution: Distribution, found: Installed) -> None:
    """Add one distribution's entry points; raises whatever its metadata makes a parser raise."""
    try:
        points = distribution.entry_points
    except (TypeError, ValueError) as error:
        raise ValueError("entry_points.txt has a line that is not NAME = MODULE") from error
    ours = [point for point in points if point.group == GROUP]
    for point in points:
        if point.group == OBSERVERS:
            rivals = found.observers.setdefault(point.name, [])
            if all(rival.dist != point.dist for rival in rivals):
                rivals.append(point)
    if not ours:
        return
    named, version = distribution.metadata["Name"], distribution.metadata["Version"]
    if not named or not version:
        raise ValueError("METADATA is missing, or says no name or version")
    name = normal_name(named)
    found.plugins.setdefault(
        name, {Entry(name, version, point.name, point.value) for point in ours}
    )
