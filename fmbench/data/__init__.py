"""Where the bytes come from, that they are the right bytes, and the picture of them."""

from fmbench.data.dataset import (
    FASHION_MNIST,
    FILES,
    LABELS,
    Dataset,
    LabelCount,
    Summary,
    load,
    names_of_classes,
    read,
    summary,
)
from fmbench.data.drawing import PictureRow, class_picture, test_picture
from fmbench.data.sources import find, present
from fmbench.data.split import stratified_split, stratified_subset

__all__ = [
    "FASHION_MNIST",
    "FILES",
    "LABELS",
    "Dataset",
    "LabelCount",
    "PictureRow",
    "Summary",
    "class_picture",
    "find",
    "load",
    "names_of_classes",
    "present",
    "read",
    "stratified_split",
    "stratified_subset",
    "summary",
    "test_picture",
]
