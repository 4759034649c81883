"""Every architecture of timm for fmbench, built for its images from random weights."""

from difflib import get_close_matches
from functools import partial
from importlib import metadata

import fmbench
from fmbench_timm.building import build
from fmbench_timm.inputs import Input, measured
from fmbench_timm.listed import LISTED, PREFIX
from fmbench_timm.resizing import build_at


@fmbench.hookimpl
def fmbench_models() -> list[fmbench.Family]:
    """Offer `timm/<architecture>`, six of them listed."""
    return [fmbench.Family(PREFIX, resolve, listed=list(LISTED), members=members)]


def resolve(name: str) -> fmbench.Model:
    """Return the model called `name`, `timm/<architecture>` or `timm/<architecture>@<pixels>`.

    Imports timm only for an architecture that inputs.json does not know. Raises `LookupError` when
    timm has no such architecture, or with the reason why it cannot be trained here.
    """
    if name in LISTED:
        return LISTED[name]
    architecture, at, pixels = name.removeprefix(PREFIX).partition("@")
    found = find(architecture)
    if at:
        size, construct = _parse_size(name, pixels), build_at
    elif found.reason:
        raise LookupError(f"{architecture} cannot be trained on these images: {found.reason}")
    else:
        size, construct = found.size, build
    return fmbench.Model(
        name,
        partial(construct, architecture, found.way),
        summary=f"{architecture} as timm builds it, at {size} pixels.",
        size=size,
        source=found.module,
    )


def members() -> list[str]:
    """Return the names of all architectures of the measured timm, also those that have a reason."""
    return [PREFIX + name for name in measured().inputs]


def find(architecture: str) -> Input:
    """Return how `architecture` is built: as inputs.json says, else tried out on the meta device.

    Raises `LookupError` when timm has no such architecture.
    """
    known = measured()
    if architecture in known.inputs:
        return known.inputs[architecture]
    if metadata.version("timm") == known.timm:
        raise LookupError(_explain_unknown(architecture, list(known.inputs)))
    import timm  # inside: it imports torch; only another version than the measured one needs it

    offered = timm.list_models()  # is_model would also accept retired names and weight tags
    if architecture not in offered:
        raise LookupError(_explain_unknown(architecture, offered))
    from fmbench_timm.probing import find_input

    return find_input(architecture)


def _parse_size(name: str, pixels: str) -> int:
    """Return the size that a suffix asks for; the core refuses one out of its range."""
    if not pixels.isdecimal() or str(int(pixels)) != pixels:
        raise LookupError(
            f"{name!r} does not end in a size: write {name.partition('@')[0]}@64 for 64 pixels"
        )
    return int(pixels)


def _explain_unknown(architecture: str, known: list[str]) -> str:
    """Return a sentence that says why timm has no `architecture` and what comes close."""
    untagged = architecture.partition(".")[0]
    if untagged != architecture and untagged in known:
        return (
            f"{architecture!r} names pretrained weights, and models here train from scratch: "
            f"ask for {PREFIX}{untagged}."
        )
    close = [PREFIX + match for match in get_close_matches(architecture, known)]
    suggestion = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"timm has no architecture called {architecture!r}{suggestion}"
