"""Observers by name: entry points of the group `fmbench.observers`, loaded only when asked for."""

from collections.abc import Iterable
from importlib import metadata

from fmbench.discovery import choice
from fmbench.discovery.entries import installed_distributions
from fmbench.environment import normal_name
from fmbench.errors import PluginError, UsageError

GROUP = "fmbench.observers"


def named_observers() -> dict[str, object]:
    """The observers that `-p` or the environment names, loaded here, by name.

    Raises `UsageError` for a name that is neither an observer nor a plugin of models, and
    `PluginError` for an observer that cannot be loaded.
    """
    named = choice.named()
    require_installed(named)
    points = _points()
    return {name: _load(points[name]) for name in named if name in points}


def require_installed(names: Iterable[str]) -> None:
    """Raise `UsageError` for a name that is neither an observer nor a plugin of models."""
    points, plugins = _points(), installed_distributions()
    for name in names:
        if name not in points and normal_name(name) not in plugins:
            known = [*sorted(points), *sorted(plugins)]
            raise UsageError(
                f"no plugin is called {name!r}", hint=f"there are {', '.join(known) or 'none'}"
            )


def _points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def _load(point: metadata.EntryPoint) -> object:
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        where = f"{point.dist.name if point.dist else '?'}[{point.name}]"
        raise PluginError(
            f"the observer cannot be loaded: {type(error).__name__}: {error}",
            where=where,
            hint=f"see why with: python -c 'import {point.module}', or leave out -p {point.name}",
        ) from error
