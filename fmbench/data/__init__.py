"""Where the bytes come from, that they are the right bytes, and the picture of them."""

from fmbench.data.dataset import (
    FASHION_MNIST,
    FILES,
    LABELS,
    Dataset,
    LabelCount,
    Summary,
    load,
    summary,
)
from fmbench.data.picture import class_picture
from fmbench.data.sources import find
from fmbench.data.split import stratified_split, stratified_subset

__all__ = [
    "FASHION_MNIST",
    "FILES",
    "LABELS",
    "Dataset",
    "LabelCount",
    "Summary",
    "class_picture",
    "find",
    "load",
    "stratified_split",
    "stratified_subset",
    "summary",
]
