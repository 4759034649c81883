"""A head for encoders that have none: the mean over all positions, then one linear layer."""

import torch
from torch import nn

import fmbench


class Pooled(nn.Module):
    """An encoder with a linear layer on the mean of what it answers.

    Maps float images (batch, channels, size, size) to logits (batch, classes). `encoder` answers
    tokens of shape (batch, tokens, width) or a map of shape (batch, width, rows, columns), its
    attribute `head_hidden_size` being the width.
    """

    def __init__(self, encoder: nn.Module, spec: fmbench.InputSpec) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.head_hidden_size, spec.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of `images`."""
        answer = self.encoder(images)
        return self.head(answer.mean((2, 3)) if answer.ndim == 4 else answer.mean(1))
