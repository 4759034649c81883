"""What the shell offers to complete: models, protocols and rows. Never slow, never an error."""

from collections.abc import Callable, Iterable
from pathlib import Path

import typer


def models(incomplete: str) -> list[str]:
    """Installed models and family prefixes that begin so."""

    def offered() -> list[str]:
        from fmbench import discovery

        found = discovery.remembered()
        return [*(one.name for one in found.models), *(one.prefix for one in found.families)]

    return _beginning(incomplete, offered)


def protocols(incomplete: str) -> list[str]:
    """Built-in protocols that begin so."""
    from fmbench import protocol

    return [name for name in protocol.names() if name.startswith(incomplete)]


def stored(context: typer.Context, incomplete: str) -> list[str]:
    """Protocols that the results folder of the command line has records of."""
    from fmbench.store import protocols_in

    return _beginning(incomplete, lambda: protocols_in(_results(context)))


def rows(context: typer.Context, incomplete: str) -> list[str]:
    """Models with records in the results folder of the command line."""
    from fmbench.store import Store, protocols_in

    results, wanted = _results(context), context.params.get("protocol")
    return _beginning(
        incomplete,
        lambda: (
            record.run.model
            for name in protocols_in(results)
            if wanted in (None, name)
            for record in Store(results, name).read().records
        ),
    )


def _beginning(incomplete: str, offered: Callable[[], Iterable[str]]) -> list[str]:
    """What is offered and begins so, each once; nothing where what is offered cannot be told."""
    try:
        return sorted({name for name in offered() if name.startswith(incomplete)})
    except Exception:  # completion has no place for a message
        return []


def _results(context: typer.Context) -> Path:
    return Path(context.params.get("results") or "results")
