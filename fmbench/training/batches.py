"""Images that live on the device as bytes, and batches of them as normalised floats."""

import torch
from torch import Tensor
from torch.nn import functional

from fmbench.contract import RAW_SIZE
from fmbench.protocol import Augmentation, DataRules

SMALLEST_RESIZED = 64


class Images:
    """A resident set of images, read in batches by index.

    pixels: uint8 (n, 28, 28), moved to the device once.
    size:   side of the batches' images; 28 as they are, 29 to 63 zero-padded, 64 and up resized
            bilinearly. Augmentation acts on 28 x 28, before that.
    """

    def __init__(
        self,
        pixels: Tensor,
        *,
        size: int,
        rules: DataRules,
        device: torch.device,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.size = size
        self.augmentation = augmentation
        self.memory_format = memory_format
        self.scale = 1 / (255 * rules.std)
        self.black = -rules.mean / rules.std
        self.pixels = pixels.to(device)
        if margin := augmentation.shift:
            self.pixels = functional.pad(self.pixels, (margin,) * 4)
        self._span = torch.arange(RAW_SIZE, device=device)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: Tensor) -> Tensor:
        """Images `index` (int64, shape (b,)) as float32 (b, 1, size, size), normalised.

        Augmented with draws from the device's global generator.
        """
        pixels = self._augmented(index) if self._augments else self.pixels.index_select(0, index)
        images = pixels.float().mul_(self.scale).add_(self.black).unsqueeze(1)
        return self._adapted(images).contiguous(memory_format=self.memory_format)

    @property
    def _augments(self) -> bool:
        return bool(self.augmentation.shift or self.augmentation.flip)

    def _augmented(self, index: Tensor) -> Tensor:
        """Gather the shifted rows of pixels, then within them the shifted and flipped columns."""
        count, side, device = len(index), self.pixels.shape[-1], index.device
        offsets = torch.randint(0, 2 * self.augmentation.shift + 1, (2, count, 1), device=device)
        rows, columns = offsets + self._span
        if self.augmentation.flip:
            flipped = torch.randint(0, 2, (count, 1), device=device).bool()
            mirrored = offsets[1] + self._span.flip(0)
            columns = torch.where(flipped, mirrored, columns)
        rows += index[:, None] * side
        shifted = self.pixels.view(-1, side).index_select(0, rows.view(-1))
        return shifted.view(count, RAW_SIZE, side).gather(
            2, columns[:, None, :].expand(count, RAW_SIZE, RAW_SIZE)
        )

    def _adapted(self, images: Tensor) -> Tensor:
        if self.size == RAW_SIZE:
            return images
        if self.size >= SMALLEST_RESIZED:
            return functional.interpolate(images, size=(self.size, self.size), mode="bilinear")
        before = (self.size - RAW_SIZE) // 2
        after = self.size - RAW_SIZE - before
        return functional.pad(images, (before, after, before, after), value=self.black)
