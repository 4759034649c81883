"""Images made up for checks, normalised and laid out as a protocol says."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fmbench.protocol import DataRules, DeviceRules
from fmbench.training import devices
from fmbench.training.batches import Images

COUNT, SEED = 64, 7


def synthetic_images(
    index: Sequence[int], size: int, data: DataRules, rules: DeviceRules
) -> Tensor:
    """Images of noise by number, 0 to 63, as float32 (len(index), 1, size, size)."""
    pixels = np.random.RandomState(SEED).randint(0, 256, (COUNT, 28, 28))
    images = Images(
        torch.from_numpy(pixels.astype(np.uint8)),
        size=size,
        rules=data,
        device=torch.device("cpu"),
        memory_format=devices.memory_format(rules),
    )
    return images.batch(torch.tensor(index))
