"""Observers: entry points of the group `fmbench.observers`, loaded only when they are named."""

from collections.abc import Iterable
from importlib.metadata import EntryPoint

from fmbench.discovery import choice
from fmbench.discovery.entries import installed
from fmbench.environment import normal_name
from fmbench.errors import PluginError, UsageError
from fmbench.processes import kept_apart
from fmbench.wording import raised


def named_observers() -> dict[str, object]:
    """The observers that `-p` or the environment names, loaded here, by name.

    Raises `UsageError` for a name that is neither an observer nor a plugin of models, and
    `PluginError` for an observer that cannot be loaded.
    """
    named = choice.named()
    require_installed(named)
    points = installed().observers
    return {name: _load(_the_only(points[name])) for name in named if name in points}


def require_installed(names: Iterable[str]) -> None:
    """Raise `UsageError` for a name that is neither an observer nor a plugin of models."""
    found = installed()
    for name in names:
        if name not in found.observers and normal_name(name) not in found.plugins:
            known = [*sorted(found.observers), *sorted(found.plugins)]
            raise UsageError(
                f"no plugin is called {name!r}", hint=f"there are {', '.join(known) or 'none'}"
            )


def _the_only(points: list[EntryPoint]) -> EntryPoint:
    """The entry point of a name; raises `UsageError` when several distributions have one."""
    if len(points) > 1:
        rivals = [point.dist.name if point.dist else "?" for point in points]
        raise UsageError(
            f"{len(points)} distributions have an observer {points[0].name!r}",
            hint=f"uninstall all but one of {', '.join(sorted(rivals))}",
        )
    return points[0]


def _load(point: EntryPoint) -> object:
    try:
        with kept_apart():
            return point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # asyncio's CancelledError, say
        where = f"{point.dist.name if point.dist else '?'}[{point.name}]"
        raise PluginError(
            f"the observer cannot be loaded: {raised(error)}",
            where=where,
            hint=f"see why with: python -c 'import {point.module}', or leave out -p {point.name}",
        ) from error
