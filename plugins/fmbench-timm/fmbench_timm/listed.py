"""The six architectures that `fmbench models` shows and `fmbench run --all` runs."""

from functools import partial

import fmbench
from fmbench_timm.building import build
from fmbench_timm.inputs import IMG_SIZE, PLAIN, SIZE

PREFIX = "timm/"


def _member(architecture: str, way: str, summary: str, source: str) -> fmbench.Model:
    return fmbench.Model(
        PREFIX + architecture,
        partial(build, architecture, way),
        summary=summary,
        size=SIZE,
        source=source,
    )


LISTED = {
    model.name: model
    for model in (
        _member(
            "resnet18",
            PLAIN,
            "ResNet-18, ImageNet stem, 11,175,370 parameters.",
            "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
        ),
        _member(
            "mobilenetv3_small_100",
            PLAIN,
            "MobileNetV3-Small at width 1.0, 1,527,818 parameters.",
            "Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244",
        ),
        _member(
            "convnext_atto",
            PLAIN,
            "ConvNeXt in timm's atto size, 3,376,450 parameters.",
            "Liu et al. 2022, A ConvNet for the 2020s, arXiv:2201.03545; size: timm",
        ),
        _member(
            "regnety_002",
            PLAIN,
            "RegNetY-200MF, 2,797,110 parameters.",
            "Radosavovic et al. 2020, Designing Network Design Spaces, arXiv:2003.13678",
        ),
        _member(
            "edgenext_xx_small",
            PLAIN,
            "EdgeNeXt-XXS, convolution with transposed attention, 1,159,138 parameters.",
            "Maaz et al. 2022, EdgeNeXt, arXiv:2206.10589",
        ),
        _member(
            "vit_tiny_patch16_224",
            IMG_SIZE,
            "ViT-Ti/16, four patches of 16×16 at 32 pixels, 5,391,178 parameters.",
            "Dosovitskiy et al. 2020, arXiv:2010.11929; size: Touvron et al. 2020, "
            "arXiv:2012.12877",
        ),
    )
}
