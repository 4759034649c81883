"""Every architecture of timm for fmbench, built for its images from random weights."""

from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

import fmbench

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm/"
SIZE = 32  # what these networks halve five times without a remainder


@fmbench.hookimpl
def fmbench_models() -> list[fmbench.Family]:
    """Offer `timm/<architecture>`, six of them listed."""
    return [fmbench.Family(PREFIX, resolve, listed=list(LISTED))]


def resolve(name: str) -> fmbench.Model:
    """Return the model called `name`; timm is imported only when it is not a listed one.

    Raises `LookupError` when timm has no such architecture.
    """
    if name in LISTED:
        return LISTED[name]
    import timm  # inside: it imports torch, and listing models must not

    architecture = name.removeprefix(PREFIX)
    known = timm.list_models()  # is_model would also accept retired names and weight tags
    if architecture not in known:
        raise LookupError(_explain_unknown(architecture, known))
    module = timm.model_entrypoint(architecture).__module__
    return _member(architecture, f"{architecture} as timm builds it, at {SIZE} pixels.", module)


def build(architecture: str, spec: fmbench.InputSpec) -> "nn.Module":
    """Return timm's `architecture`, freshly initialised, for images of `spec`.

    Raises what timm raises when the architecture cannot be built for so small an image.
    """
    import timm  # inside: it imports torch, and listing models must not

    create = partial(
        timm.create_model,
        architecture,
        pretrained=False,
        in_chans=spec.channels,
        num_classes=spec.classes,
    )
    try:
        return create(img_size=spec.size)
    except TypeError as error:  # the only way timm says that a network fits any image size
        if "img_size" not in str(error):
            raise
    return create()


def _member(architecture: str, summary: str, source: str) -> fmbench.Model:
    """Return the model `timm/<architecture>`."""
    return fmbench.Model(
        PREFIX + architecture,
        partial(build, architecture),
        summary=summary,
        size=SIZE,
        source=source,
    )


def _explain_unknown(architecture: str, known: list[str]) -> str:
    """Return a sentence that says why timm has no `architecture` and what comes close."""
    untagged = architecture.partition(".")[0]
    if untagged != architecture and untagged in known:
        return (
            f"{architecture!r} names pretrained weights, and models here train from scratch: "
            f"ask for {PREFIX}{untagged}."
        )
    close = [PREFIX + match for match in get_close_matches(architecture, known)]
    suggestion = f"; close to it are {', '.join(close)}" if close else ""
    return f"timm has no architecture called {architecture!r}{suggestion}."


LISTED = {
    model.name: model
    for model in (
        _member(
            "resnet18",
            "ResNet-18, ImageNet stem, 11,175,370 parameters.",
            "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
        ),
        _member(
            "mobilenetv3_small_100",
            "MobileNetV3-Small at width 1.0, 1,527,818 parameters.",
            "Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244",
        ),
        _member(
            "convnext_atto",
            "ConvNeXt in timm's atto size, 3,376,450 parameters.",
            "Liu et al. 2022, A ConvNet for the 2020s, arXiv:2201.03545; size: timm",
        ),
        _member(
            "regnety_002",
            "RegNetY-200MF, 2,797,110 parameters.",
            "Radosavovic et al. 2020, Designing Network Design Spaces, arXiv:2003.13678",
        ),
        _member(
            "edgenext_xx_small",
            "EdgeNeXt-XXS, convolution with transposed attention, 1,159,138 parameters.",
            "Maaz et al. 2022, EdgeNeXt, arXiv:2206.10589",
        ),
        _member(
            "vit_tiny_patch16_224",
            "ViT-Ti/16, four patches of 16×16 at 32 pixels, 5,391,178 parameters.",
            "Dosovitskiy et al. 2020, arXiv:2010.11929; size: Touvron et al. 2020, "
            "arXiv:2012.12877",
        ),
    )
}
