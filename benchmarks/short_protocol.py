"""A short protocol: one recipe of another protocol, with a budget of one's own, as a file."""

import json
from pathlib import Path

import msgspec

from fmbench.protocol import Protocol, Stage


def shorten(
    protocol: Protocol, *, recipe: str, images: int | None, epochs: int, seeds: int = 1
) -> Protocol:
    """The protocol with one recipe, nothing to tune, and seeds 1 to `seeds`.

    images: drawn by class for training, all of them for None.
    """
    return msgspec.structs.replace(
        protocol,
        name="benchmark",
        status="draft",
        summary=f"Part of {protocol.id}, for a benchmark.",
        seeds=tuple(range(1, seeds + 1)),
        tune=None,
        final=Stage(epochs=epochs, train_images=images),
        recipes=(protocol.recipe(recipe),),
    )


def write(protocol: Protocol, path: Path) -> Path:
    """Write a protocol as a TOML file that `fmbench run --protocol` takes."""
    built = msgspec.to_builtins(protocol)
    path.write_text("".join(f"{key} = {_toml(built[key])}\n" for key in built if built[key]))
    return path


def _toml(value: object) -> str:
    """A value in one line of TOML; a key whose value is None is left out."""
    match value:
        case dict():
            inner = (
                f"{_toml(key)} = {_toml(one)}" for key, one in value.items() if one is not None
            )
            return f"{{{', '.join(inner)}}}"
        case list() | tuple():
            return f"[{', '.join(_toml(one) for one in value)}]"
        case _:
            return json.dumps(value)  # strings, numbers and booleans are spelt the same
