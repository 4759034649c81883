"""What the shell offers to complete: models, protocols and rows. Never slow, never an error."""

from pathlib import Path

import typer


def models(incomplete: str) -> list[str]:
    """Installed models and family prefixes that begin so."""
    try:
        from fmbench import discovery

        catalogue = discovery.remembered()
    except Exception:  # completion has no place for a message
        return []
    names = [model.name for model in catalogue.models]
    names += [family.prefix for family in catalogue.families]
    return sorted(name for name in set(names) if name.startswith(incomplete))


def protocols(incomplete: str) -> list[str]:
    """Built-in protocols that begin so."""
    from fmbench import protocol

    return [name for name in protocol.names() if name.startswith(incomplete)]


def stored(context: typer.Context, incomplete: str) -> list[str]:
    """Protocols that the results folder of the command line has records of."""
    from fmbench.store import protocols_in

    try:
        held = protocols_in(_results(context))
    except Exception:  # completion has no place for a message
        return []
    return [name for name in held if name.startswith(incomplete)]


def rows(context: typer.Context, incomplete: str) -> list[str]:
    """Models with records in the results folder of the command line."""
    from fmbench.store import Store, protocols_in

    results, wanted = _results(context), context.params.get("protocol")
    try:
        names = {
            record.run.model
            for name in protocols_in(results)
            if wanted in (None, name)
            for record in Store(results, name).read().records
        }
    except Exception:  # as above
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def _results(context: typer.Context) -> Path:
    return Path(context.params.get("results") or "results")
