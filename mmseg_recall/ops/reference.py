"""The oracle: plain autograd PyTorch, every intermediate kept, float64-able, obviously right."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .contract import ClassTotals, Options, compute_dtype
from .labels import split_labels


def class_totals(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    with torch.autocast(logits.device.type, enabled=False):
        return _class_totals(logits.to(compute_dtype(logits)), target, options)


def _class_totals(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    num_classes = logits.shape[1]
    logits, valid, y, weight = flat_positions(logits, target, options)
    prediction = logits.argmax(1)
    log_p = _scaled(logits, y, options).log_softmax(1)
    log_p_y = log_p.gather(1, y[:, None])[:, 0]
    p_y = log_p_y.exp()

    def per_class(index: Tensor, values: Tensor) -> Tensor:
        # In float64: a float32 running sum over millions of pixels drifts.
        total = torch.zeros(num_classes, dtype=torch.float64, device=logits.device)
        return total.index_add(0, index, values.double()).to(logits.dtype)

    def focal() -> Tensor:
        # The floor keeps the derivative of (1-p)^gamma finite at p = 1 for gamma < 1.
        doubt = (1 - p_y).clamp_min(torch.finfo(logits.dtype).tiny)
        return per_class(y, -weight * doubt**options.focal_gamma * log_p_y)

    compute = dict(
        support=lambda: per_class(y, valid),
        true_positive=lambda: per_class(y, valid & (prediction == y)),
        predicted=lambda: per_class(prediction, valid),
        cross_entropy=lambda: per_class(y, -weight * log_p_y),
        confidence=lambda: per_class(y, weight * p_y),
        probability=lambda: (weight[:, None] * log_p.exp()).double().sum(0).to(logits.dtype),
        focal=focal,
    )
    return ClassTotals(
        *(compute[name]() if name in options.fields else None for name in ClassTotals._fields)
    )


def flat_positions(logits: Tensor, target: Tensor, options: Options) -> tuple[Tensor, ...]:
    """Logits (P, C) at the target's resolution, with valid, y (0 where not valid), weight (P)."""
    if logits.shape[2:] != target.shape[1:]:
        logits = F.interpolate(
            logits, target.shape[1:], mode='bilinear', align_corners=options.align_corners
        )
    num_classes = logits.shape[1]
    logits = logits.movedim(1, -1).reshape(-1, num_classes)
    valid, y = split_labels(target.reshape(-1), num_classes, options.ignore_index)
    weight = valid.to(logits.dtype)
    if options.position_weight is not None:
        valid = valid & (options.position_weight.reshape(-1) != 0)
        weight = weight * options.position_weight.reshape(-1)
    return logits, valid, y, weight


def _scaled(logits: Tensor, y: Tensor, options: Options) -> Tensor:
    """scale * (logits + class_bias - target_margin at the true class)."""
    if options.class_bias is not None:
        logits = logits + options.class_bias.to(logits.dtype)
    if options.target_margin is not None:
        margin = options.target_margin.to(logits.dtype)[y]
        logits = logits - F.one_hot(y, logits.shape[1]) * margin[:, None]
    return logits * options.scale
