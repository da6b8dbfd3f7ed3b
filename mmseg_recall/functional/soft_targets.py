"""Soft targets (label smoothing, Mixup): the expected loss of a label drawn by its scores."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.contract import compute_dtype
from ..ops.reference import one_minus_p
from . import checks


def label_losses(
    logits: Tensor,
    *,
    class_bias: Tensor | None = None,
    target_margin: Tensor | None = None,
    scale: float = 1.0,
    focal_gamma: float | None = None,
) -> Tensor:
    r"""What each class would cost if it were the label.

    .. math::
        \ell_c = -(1 - p_c)^\gamma \log p_c, \qquad
        p_c = \mathrm{softmax}(s (z + b - m_c 1[j = c]))_c

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``, C of at least 2.
        class_bias: b, ``(C,)``.
        target_margin: m, ``(C,)``.
        scale: s, above 0.
        focal_gamma: :math:`\gamma` of at least 0; ``None`` for cross entropy.

    Returns:
        The shape of ``logits``.

    Examples:
        >>> import torch
        >>> label_losses(torch.zeros(1, 2), class_bias=torch.tensor([3., 1.]).log())
        tensor([[0.2877, 1.3863]])
    """
    z = scale * (logits if class_bias is None else logits + along_classes(class_bias, logits))
    if target_margin is None:
        log_p = z.log_softmax(1)
    else:
        margin = scale * along_classes(target_margin, logits)
        log_p = F.logsigmoid(z - margin - _log_others(z))
    if focal_gamma is None:
        return -log_p
    return -(one_minus_p(log_p.exp()) ** focal_gamma) * log_p


def soft_terms(
    logits: Tensor,
    scores: Tensor,
    losses: Callable[[Tensor], Tensor],
    position_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The terms of :math:`w_n \sum_c t_{n c} \ell_c(z_n)`, the expected loss of a drawn label.

    With the scores :math:`t` of Mixup this is :math:`\lambda \ell_a + (1 - \lambda) \ell_b`, as
    its paper mixes losses; for cross entropy it is cross entropy with soft targets. Plain autograd.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``.
        scores: t, in the shape of ``logits``, 1 in sum over the classes.
        losses: :math:`\ell`, such as :func:`label_losses`.
        position_weight: w, ``(N)`` or ``(N, d1, ...)``; positions of weight 0 do not count.

    Returns:
        The terms, float32 or better, and the scores, 0 where a position does not count; both in
        the shape of ``logits``.

    Examples:
        >>> import torch
        >>> terms, _ = soft_terms(torch.zeros(1, 2), torch.tensor([[0.9, 0.1]]), label_losses)
        >>> terms
        tensor([[0.6238, 0.0693]])
    """
    z = logits.to(compute_dtype(logits))
    scores = scores.to(z.dtype)
    with torch.autocast(logits.device.type, enabled=False):
        if position_weight is None:
            return scores * losses(z), scores
        weight = checks.per_position('position_weight', position_weight, scores[:, 0])[:, None]
        # What does not count may be NaN, and 0 * NaN is NaN.
        z, scores = (torch.where(weight != 0, values, 0.0) for values in (z, scores))
        return weight * scores * losses(z), scores


def along_classes(values: Tensor, logits: Tensor) -> Tensor:
    """``(C,)`` values in a shape that goes with logits ``(N, C, ...)``, and in their dtype."""
    return values.to(logits).view(-1, *(1,) * (logits.ndim - 2))


def class_sums(values: Tensor) -> Tensor:
    """Sum ``(N, C, ...)`` over all axes but that of the classes, in float64 inside."""
    return values.double().transpose(0, 1).flatten(1).sum(1).to(values.dtype)


def _log_others(z: Tensor) -> Tensor:
    r""":math:`\log \sum_{j \ne c} e^{z_j}` of each class c."""
    top = z.argmax(1, keepdim=True)
    is_top = torch.zeros_like(z, dtype=torch.bool).scatter(1, top, True)
    # 1 - p loses its digits where p is near 1, which the largest alone can be: that one apart.
    below_top = z.masked_fill(is_top, -torch.inf).logsumexp(1, keepdim=True)
    p = torch.where(is_top, 0.0, z.softmax(1))
    return torch.where(is_top, below_top, z.logsumexp(1, keepdim=True) + torch.log1p(-p))
