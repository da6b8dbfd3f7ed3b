"""Batches that every loss is tried on."""

import torch

#: (logits shape, target shape): classification, one to three spatial axes, lower resolutions.
SHAPES = [
    ((9, 5), (9,)),
    ((3, 4, 7), (3, 7)),
    ((2, 5, 7, 6), (2, 7, 6)),
    ((1, 3, 2, 3, 4), (1, 2, 3, 4)),
    ((2, 5, 7, 6), (2, 23, 31)),
    ((2, 3, 7, 6), (2, 7, 13)),
    ((1, 4, 3, 9), (1, 11, 9)),
    ((2, 2, 1, 1), (2, 9, 5)),
    ((1, 150, 5, 3), (1, 17, 11)),
]


def make_batch(logits_shape, target_shape, seed=0):
    """Float64 logits and labels with an ignored region and an absent class."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(logits_shape, generator=generator, dtype=torch.float64)
    target = torch.randint(0, logits_shape[1] - 1, target_shape, generator=generator)
    target[torch.rand(target_shape, generator=generator) < 0.2] = 255
    return logits, target


def every_option(num_classes, target, dtype=torch.float64):
    """Every option of ``class_totals`` at a value of its own."""
    weight = torch.arange(target.numel(), device=target.device).reshape(target.shape)
    return dict(
        class_bias=torch.linspace(-1, 1, num_classes, dtype=dtype),
        target_margin=torch.linspace(0.5, 0.1, num_classes, dtype=dtype),
        scale=1.7,
        position_weight=weight.remainder(4).to(dtype) * 0.7,
        focal_gamma=1.5,
    )


def positions(logits, target):
    """The batch as plain lists, one entry a position, for the slow references."""
    return logits.movedim(1, -1).flatten(0, -2).tolist(), target.flatten().tolist()


def make_counts(num_classes):
    """Class counts between 2 and 102, a different one for each of up to 101 classes."""
    return [2 + 37 * c % 101 for c in range(num_classes)]
