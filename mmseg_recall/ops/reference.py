"""The oracle: plain autograd PyTorch, every intermediate kept, float64-able, obviously right."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .contract import ClassTotals, Options, compute_dtype
from .labels import traced_labels


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
        return per_class(y, -weight * one_minus_p(p_y) ** options.focal_gamma * log_p_y)

    compute = dict(
        support=lambda: per_class(y, valid),
        true_positive=lambda: per_class(y, valid & (prediction == y)),
        predicted=lambda: per_class(prediction, valid),
        cross_entropy=lambda: per_class(y, -weight * log_p_y),
        soft_true_positive=lambda: per_class(y, weight * p_y),
        soft_predicted=lambda: (weight[:, None] * log_p.exp()).double().sum(0).to(logits.dtype),
        focal=focal,
    )
    return ClassTotals(
        *(compute[name]() if name in options.fields else None for name in ClassTotals._fields)
    )


def gradient(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    """The gradient that the other backends compute, differentiable again.

    Per position with label y and weight w, with u = scale * (z + bias - margin[y] at y),
    p = softmax(u), and s, i, q, f the gradients of the loss with respect to S, I, P, F:

        dS = w d(-log p_y),  d(-log p_y)/du_j = p_j - 1[j=y]
        dI = w d(p_y),       d(p_y)/du_j      = -p_y (p_j - 1[j=y])
        dF = w d((1-p_y)^g * -log p_y),  / du_j = [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y]
                                                  (p_j - 1[j=y])
        dP_k = w d(p_k),     sum_k q_k d(p_k)/du_j = p_j (q_j - sum_k q_k p_k)

        a       = s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y]
        dL/dz_j = scale * w * ( p_j (a + q_j - sum_k q_k p_k) - a 1[j=y] )

    ``grads`` are those of the totals, ``None`` where the loss does not depend on one.
    """
    with torch.autocast(logits.device.type, enabled=False):
        full, valid, y, weight = flat_positions(logits.to(compute_dtype(logits)), target, options)
        log_p = _scaled(full, y, options).log_softmax(1)
        log_p_y, p = log_p.gather(1, y[:, None])[:, 0], log_p.exp()
        a = pull(log_p_y, one_minus_p(log_p_y.exp()), y, options.focal_gamma, grads)
        flat = a[:, None] * (p - is_class(y, full.shape[1]).to(p))
        if grads.soft_predicted is not None:
            q = grads.soft_predicted
            flat = flat + p * (q - (p * q).sum(1, keepdim=True))
        flat = torch.where(valid[:, None], flat * (options.scale * weight)[:, None], 0.0)
        result = flat.view(*target.shape, -1).movedim(-1, 1)
        if logits.shape[2:] != target.shape[1:]:
            result = torch.ops.aten.upsample_bilinear2d_backward(
                result.contiguous(), target.shape[1:], logits.shape, options.align_corners
            )
        return result.to(logits.dtype)


def pull(
    log_p_y: Tensor, one_minus_p: Tensor, y: Tensor, gamma: float | None, grads: ClassTotals
) -> Tensor:
    """s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y]."""
    result, p_y = torch.zeros_like(log_p_y), log_p_y.exp()
    if grads.cross_entropy is not None:
        result = result + grads.cross_entropy[y]
    if grads.soft_true_positive is not None:
        result = result - grads.soft_true_positive[y] * p_y
    if grads.focal is not None:
        slope = gamma * p_y * log_p_y * one_minus_p ** (gamma - 1)
        result = result + grads.focal[y] * (one_minus_p**gamma - slope)
    return result


def position_losses(logits: Tensor, target: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """See :func:`mmseg_recall.functional.position_losses`."""
    with torch.autocast(logits.device.type, enabled=False):
        full, valid, y, weight = flat_positions(logits.to(compute_dtype(logits)), target, options)
        log_p_y = _scaled(full, y, options).log_softmax(1).gather(1, y[:, None])[:, 0]
        losses = -weight * log_p_y
        if options.focal_gamma is not None:
            losses = losses * one_minus_p(log_p_y.exp()) ** options.focal_gamma
        return torch.where(valid, losses, 0.0).view(target.shape), y.view(target.shape)


def position_cross_entropy(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """See :func:`mmseg_recall.functional.position_cross_entropy`."""
    weight, valid = options.position_weight, target != options.ignore_index
    if weight is not None:
        valid = valid & (weight != 0)
    plain = options._replace(position_weight=valid.to(compute_dtype(logits)))
    return torch.where(valid, position_losses(logits, target, plain)[0], -1.0)


def is_class(y: Tensor, num_classes: int) -> Tensor:
    """One-hot as bool, (P, C); ``F.one_hot`` reads the labels, which a compiler cannot."""
    return y[:, None] == torch.arange(num_classes, device=y.device)


def one_minus_p(p_y: Tensor) -> Tensor:
    """1 - p_y; the floor keeps the derivative of (1-p)^gamma finite at p = 1 for gamma < 1."""
    return (1 - p_y).clamp_min(torch.finfo(p_y.dtype).tiny)


def flat_positions(logits: Tensor, target: Tensor, options: Options) -> tuple[Tensor, ...]:
    """Logits (P, C) at the target's resolution, with valid, y (0 where not valid), weight (P)."""
    if logits.shape[2:] != target.shape[1:]:
        logits = F.interpolate(
            logits, target.shape[1:], mode='bilinear', align_corners=options.align_corners
        )
    num_classes = logits.shape[1]
    logits = logits.movedim(1, -1).reshape(-1, num_classes)
    valid, y = traced_labels(target.reshape(-1), num_classes, options.ignore_index)
    weight = valid.to(logits.dtype)
    if options.position_weight is not None:
        valid = valid & (options.position_weight.reshape(-1) != 0)
        weight = weight * options.position_weight.reshape(-1)
    # What does not count may be NaN, and 0 * NaN is NaN.
    return torch.where(valid[:, None], logits, 0.0), valid, y, weight


def _scaled(logits: Tensor, y: Tensor, options: Options) -> Tensor:
    """scale * (logits + class_bias - target_margin at the true class)."""
    if options.class_bias is not None:
        logits = logits + options.class_bias.to(logits.dtype)
    if options.target_margin is not None:
        margin = options.target_margin.to(logits.dtype)[y]
        logits = logits - is_class(y, logits.shape[1]) * margin[:, None]
    return logits * options.scale
