"""The one operation: logits and labels in, a handful of totals per class out."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from .. import ops
from ..ops import BACKENDS, ClassTotals, Options
from . import checks

Backend = Literal['auto', 'reference', 'portable', 'numba', 'triton']
BACKEND_NAMES = tuple(BACKENDS)


def class_totals(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int = 255,
    class_bias: Tensor | None = None,
    target_margin: Tensor | None = None,
    scale: float = 1.0,
    position_weight: Tensor | None = None,
    focal_gamma: float | None = None,
    align_corners: bool = False,
    backend: Backend = 'auto',
) -> ClassTotals:
    r"""Per-class totals of a batch, from which every loss here is a few lines.

    With :math:`p = \mathrm{softmax}(s (z + b - m_y 1[j = y]))`, :math:`V` the valid positions and
    :math:`w` the position weights:

    .. math::
        N_c &= \#\{n \in V : y_n = c\} &
        TP_c &= \#\{n \in V : y_n = c = \arg\max_j z_{nj}\} \\
        S_c &= \sum_{y_n = c} -w_n \log p_{n c} &
        M_c &= \#\{n \in V : \arg\max_j z_{nj} = c\} \\
        I_c &= \sum_{y_n = c} w_n p_{n c} &
        P_c &= \sum_{n \in V} w_n p_{n c} \\
        F_c &= \sum_{y_n = c} -w_n (1 - p_{n c})^\gamma \log p_{n c}

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``, any floating-point dtype; computed in float32
            or better. With a target of another height and width, ``(N, C, h, w)`` logits are
            upsampled to it bilinearly, strip by strip.
        target: Integer labels in [0, C) or ``ignore_index``, ``(N)`` or ``(N, d1, ...)``.
        ignore_index: The label of positions that do not count.
        class_bias: ``(C,)``, added to the logits of every position.
        target_margin: ``(C,)``, entry y is subtracted from the logit of the true class y.
        scale: Positive factor on the shifted logits.
        position_weight: In the shape of ``target``; multiplies a position's share of S, I, P and
            F. In N, TP and M a position counts wholly, or not at all where its weight is 0.
        focal_gamma: gamma >= 0 of F; without it F is ``None``.
        align_corners: Passed on to the bilinear upsampling, as in
            :func:`torch.nn.functional.interpolate`.
        backend: ``'reference'`` (plain autograd), ``'portable'`` (strip by strip in PyTorch
            operations), ``'numba'`` (compiled for the CPU), ``'triton'`` (compiled for CUDA) or
            ``'auto'``: of the latter two the one for the device, where it is installed and, on a
            GPU, has been found correct and faster; else portable. Where a gradient is wanted for
            ``class_bias``, ``target_margin`` or ``position_weight``, it is the reference.

    Returns:
        :class:`ClassTotals`: ``(C,)`` tensors ``support`` (N), ``true_positive`` (TP),
        ``predicted`` (M), ``cross_entropy`` (S), ``soft_true_positive`` (I), ``soft_predicted`` (P)
        and ``focal`` (F), float32 (float64 for float64 logits). The first three carry no gradient.

    Raises:
        ValueError: For shapes that do not match, arguments outside their range and, on CPU, a
            label outside [0, C) that is not ``ignore_index`` (on CUDA: a device-side assert).
        TypeError: For wrong types and dtypes, soft targets among them.
        ImportError: For ``backend='numba'`` or ``'triton'`` where that is not installed.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[2., 0.], [0., 1.], [3., 0.], [1., 0.]])
        >>> totals = class_totals(logits, torch.tensor([0, 1, 1, 255]))
        >>> totals.support, totals.true_positive, totals.predicted
        (tensor([1., 2.]), tensor([1., 1.]), tensor([2., 1.]))
        >>> totals.cross_entropy.sum() / totals.support.sum()
        tensor(1.1629)
    """
    fields = ClassTotals._fields if focal_gamma is not None else ClassTotals._fields[:-1]
    return select_totals(
        fields,
        logits,
        target,
        ignore_index=ignore_index,
        class_bias=class_bias,
        target_margin=target_margin,
        scale=scale,
        position_weight=position_weight,
        focal_gamma=focal_gamma,
        align_corners=align_corners,
        backend=backend,
    )


def select_totals(
    fields: Iterable[str], logits: Tensor, target: Tensor, *, backend: Backend = 'auto', **options
) -> ClassTotals:
    """:func:`.class_totals` for a loss that reads only ``fields``: the others cost nothing."""
    checked = checked_options(logits, target, fields, **options)
    return BACKENDS[_choose(backend, checked)](logits, target, checked)


def position_cross_entropy(
    logits: Tensor, target: Tensor, *, backend: Backend = 'auto', **options
) -> Tensor:
    """-log p_y of each position, -1 where it does not count; strip by strip, as the totals.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``, of the target's or a lower resolution.
        target: Labels, ``(N)`` or ``(N, d1, ...)``.
        backend: As in :func:`.class_totals`.
        **options: Those of :func:`.class_totals`, except ``focal_gamma``. Positions of weight 0 do
            not count; other weights change nothing.

    Returns:
        The shape of ``target``, float32 or better.

    Examples:
        >>> import torch
        >>> position_cross_entropy(torch.zeros(2, 2), torch.tensor([0, 255]))
        tensor([ 0.6931, -1.0000])
    """
    checked = checked_options(logits, target, ('cross_entropy',), **options)
    return ops.position_cross_entropy(logits, target, checked, _choose(backend, checked))


def position_losses(logits: Tensor, target: Tensor, **options) -> tuple[Tensor, Tensor]:
    """The cross entropy of each position, or with ``focal_gamma`` its focal loss, and its class.

    Plain autograd at the target's resolution, where :func:`.class_totals` needs less memory.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``, of the target's or a lower resolution.
        target: Labels, ``(N)`` or ``(N, d1, ...)``.
        **options: Those of :func:`.class_totals`, except ``backend``.

    Returns:
        The losses times the position weights, 0 where a position does not count, float32 or
        better; and the labels as int64, 0 where they are ignored. Both have the shape of
        ``target``.

    Examples:
        >>> import torch
        >>> position_losses(torch.zeros(2, 2), torch.tensor([1, 255]))
        (tensor([0.6931, 0.0000]), tensor([1, 0]))
    """
    return ops.position_losses(logits, target, checked_options(logits, target, (), **options))


def checked_options(
    logits: Tensor,
    target: Tensor,
    fields: Iterable[str],
    *,
    ignore_index: int = 255,
    class_bias: Tensor | None = None,
    target_margin: Tensor | None = None,
    scale: float = 1.0,
    position_weight: Tensor | None = None,
    focal_gamma: float | None = None,
    align_corners: bool = False,
) -> Options:
    """Check the arguments of :func:`.class_totals`."""
    checks.logits_and_target(logits, target)
    num_classes = logits.shape[1]
    checks.number('scale', scale, low=0, low_open=True, high_open=True)
    if focal_gamma is not None:
        checks.number('focal_gamma', focal_gamma, low=0, high_open=True)
    return Options(
        ignore_index=checks.integer('ignore_index', ignore_index),
        class_bias=checks.per_class('class_bias', class_bias, num_classes, logits),
        target_margin=checks.per_class('target_margin', target_margin, num_classes, logits),
        scale=scale,
        position_weight=checks.per_position('position_weight', position_weight, target),
        focal_gamma=focal_gamma,
        align_corners=align_corners,
        fields=tuple(name for name in ClassTotals._fields if name in fields),
    )


def _choose(backend: Backend, options: Options) -> str:
    checks.choice('backend', backend, BACKEND_NAMES)
    sides = dict(
        class_bias=options.class_bias,
        target_margin=options.target_margin,
        position_weight=options.position_weight,
    )
    learned = [name for name, side in sides.items() if side is not None and side.requires_grad]
    if not learned or not torch.is_grad_enabled():
        return backend
    if backend not in ('auto', 'reference'):
        raise ValueError(
            f"backend={backend!r} gives no gradient to {', '.join(learned)}: use 'auto' or "
            "'reference', or detach it"
        )
    return 'reference'
