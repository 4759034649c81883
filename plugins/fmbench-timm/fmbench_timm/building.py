"""Building one of timm's networks, for images of a given size, from random weights."""

from functools import partial
from typing import TYPE_CHECKING

import fmbench
from fmbench_timm.inputs import IMG_SIZE, PLAIN, POOLED

if TYPE_CHECKING:
    from torch import nn


def build(architecture: str, way: str, spec: fmbench.InputSpec) -> "nn.Module":
    """Return timm's `architecture`, freshly initialised, for images of `spec`.

    way: `PLAIN` as timm builds it, `IMG_SIZE` told the size of the image, `POOLED` with the mean
    over all positions and a linear layer after it. Raises what timm raises when the architecture
    cannot be built so.
    """
    import timm  # inside: it imports torch, and listing models must not

    create = partial(timm.create_model, architecture, pretrained=False, in_chans=spec.channels)
    if way == PLAIN:
        return create(num_classes=spec.classes)
    if way == IMG_SIZE:
        return create(num_classes=spec.classes, img_size=spec.size)
    if way == POOLED:
        from fmbench_timm.pooled import Pooled

        return Pooled(create(), spec)
    raise ValueError(f"{way!r} is no way to build a network")
