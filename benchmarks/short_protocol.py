"""A short protocol: one recipe of another protocol, with a budget of one's own, as a file."""

from pathlib import Path

import msgspec

from fmbench.protocol import Protocol, Stage
from fmbench.protocol_files import encode


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
        extends=None,
        differs=None,
        seeds=tuple(range(1, seeds + 1)),
        tune=None,
        final=Stage(epochs=epochs, train_images=images),
        recipes=(protocol.recipe(recipe),),
    )


def write(protocol: Protocol, path: Path) -> Path:
    """Write a protocol as a TOML file that `fmbench run --protocol` takes."""
    path.write_text(encode(msgspec.to_builtins(protocol)))
    return path
