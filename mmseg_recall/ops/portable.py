"""Strip by strip in PyTorch operations, on any device: nothing of full resolution is ever held.

A strip has the classes of some positions (C, P): a piece of an image, or, upsampled, some rows
between two lines of its logits (see :mod:`.cells`). The true class is taken out of it, so that
1 - p_y is a sum over the other classes and no difference. Backward makes the strips again.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .cells import row_runs
from .contract import ClassTotals, Options, compute_dtype, lowest_exponent
from .labels import split_labels, valid_and_index
from .reference import is_class, pull

#: Logits in a strip at the target's resolution: 4 MiB.
STRIP = 2**20


class _Same:
    """Logits at the resolution of the target, in pieces of an image (or of a batch of rows)."""

    def __init__(self, logits: Tensor, target: Tensor):
        rows = logits.ndim == 2
        self.logits = logits.T[None] if rows else logits.flatten(2)
        self.dtype = compute_dtype(logits)

    def spans(self) -> list[tuple[int, slice]]:
        """The positions of each strip, by image."""
        images, classes, length = self.logits.shape
        step = max(1, STRIP // classes)
        return [(n, slice(i, i + step)) for n in range(images) for i in range(0, length, step)]

    def read(self, image: int, span: slice) -> Tensor:
        """A copy of a strip's logits."""
        strip = self.logits[image, :, span]
        return strip.to(self.dtype, copy=True)

    def start_gradient(self) -> Tensor:
        self.grad = torch.empty_like(self.logits)

    def add_gradient(self, image: int, span: slice, strip: Tensor) -> None:
        self.grad[image, :, span] = strip
