"""What every backend takes and gives."""

from typing import NamedTuple

import torch
from torch import Tensor

#: The totals a gradient flows through; the others are counts.
DIFFERENTIABLE = ('cross_entropy', 'soft_true_positive', 'soft_predicted', 'focal')


class ClassTotals(NamedTuple):
    """Per-class totals of one batch, each of shape ``(C,)``; ``None`` where not asked for."""

    support: Tensor | None = None
    true_positive: Tensor | None = None
    predicted: Tensor | None = None
    cross_entropy: Tensor | None = None
    soft_true_positive: Tensor | None = None
    soft_predicted: Tensor | None = None
    focal: Tensor | None = None

    @property
    def confidence(self) -> Tensor | None:
        """The earlier name of ``soft_true_positive``."""
        return self.soft_true_positive

    @property
    def probability(self) -> Tensor | None:
        """The earlier name of ``soft_predicted``."""
        return self.soft_predicted


class Options(NamedTuple):
    """The checked arguments of :func:`mmseg_recall.functional.class_totals`, and which totals."""

    ignore_index: int
    class_bias: Tensor | None
    target_margin: Tensor | None
    scale: float
    position_weight: Tensor | None
    focal_gamma: float | None
    align_corners: bool
    fields: tuple[str, ...] | frozenset[str]


def compute_dtype(logits: Tensor) -> torch.dtype:
    """Float32 or better, whatever autocast made of the logits."""
    return torch.float64 if logits.dtype is torch.float64 else torch.float32
