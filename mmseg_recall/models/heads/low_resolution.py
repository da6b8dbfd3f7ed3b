"""The losses of a decode head of MMSegmentation, at the resolution of its logits."""

from __future__ import annotations

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ...functional import ClassTotals, select_totals
from ...losses.base import BaseLoss, two_class_logits

#: What the logged accuracy is made of.
ACCURACY = ('support', 'true_positive')


def why_not(head: BaseDecodeHead) -> str | None:
    """Why a head needs logits of full resolution; ``None`` if it does not."""
    if type(head).loss_by_feat is not BaseDecodeHead.loss_by_feat:
        return f'{type(head).__name__} computes its losses in a way of its own'
    if head.sampler is not None:
        return f'its sampler {type(head.sampler).__name__} looks at upsampled logits'
    if head.ignore_index is None:
        return 'its ignore_index is None'
    for loss in _losses(head):
        if not isinstance(loss, BaseLoss) and not _is_plain(loss):
            return f'its loss {type(loss).__name__} does not take logits of a lower resolution'
        if not isinstance(loss, BaseLoss) and head.out_channels == 1:
            return f'its loss {type(loss).__name__} does not take logits of one channel'
    return None


def loss_by_feat(head: BaseDecodeHead, seg_logits: Tensor, batch_data_samples) -> dict[str, Tensor]:
    """What ``BaseDecodeHead.loss_by_feat`` computes, from per-class totals.

    Args:
        head: One that :func:`why_not` has nothing against.
        seg_logits: ``(N, C, h, w)``, as its ``forward`` gives them.
        batch_data_samples: The N samples with ``gt_sem_seg`` of (H, W).

    Returns:
        dict[str, Tensor]: The losses by their names, and ``acc_seg`` in percent, of shape (1,).
    """
    label = head._stack_batch_gt(batch_data_samples).squeeze(1)
    logits = two_class_logits(seg_logits)
    call = dict(ignore_index=head.ignore_index, align_corners=bool(head.align_corners))
    fields = {field for loss in _losses(head) for field in _shared_reads(loss, logits)}
    totals = select_totals(fields.union(ACCURACY), logits, label, **call)
    result: dict[str, Tensor] = {}
    for loss in _losses(head):
        if not isinstance(loss, BaseLoss):
            value = _cross_entropy(loss, totals, label)
        elif loss.shared_reads(logits):
            value = loss.of_totals(totals, label)
        else:
            value = loss(logits, label, **call)
        name = loss.loss_name
        result[name] = result[name] + value if name in result else value
    result['acc_seg'] = _accuracy(totals, one_channel=seg_logits.shape[1] == 1)
    return result


def _losses(head: BaseDecodeHead) -> list[nn.Module]:
    several = isinstance(head.loss_decode, nn.ModuleList)
    return list(head.loss_decode) if several else [head.loss_decode]


def _is_plain(loss: nn.Module) -> bool:
    """Whether it is MMSegmentation's cross entropy, and nothing but a mean of it."""
    return (
        type(loss) is CrossEntropyLoss
        and not (loss.use_sigmoid or loss.use_mask)
        and loss.class_weight is None
        and loss.reduction == 'mean'
    )


def _shared_reads(loss: nn.Module, logits: Tensor) -> tuple[str, ...]:
    if isinstance(loss, BaseLoss):
        return loss.shared_reads(logits)
    return ('support', 'cross_entropy')


def _cross_entropy(loss: CrossEntropyLoss, totals: ClassTotals, label: Tensor) -> Tensor:
    """MMSegmentation's mean: over all positions unless ``avg_non_ignore``."""
    count = totals.support.sum() if loss.avg_non_ignore else label.numel()
    return loss.loss_weight * totals.cross_entropy.sum() / count


def _accuracy(totals: ClassTotals, one_channel: bool) -> Tensor:
    """MMSegmentation's: of one channel, label 0 is the only prediction it knows."""
    correct = totals.support[0] if one_channel else totals.true_positive.sum()
    epsilon = torch.finfo(torch.float32).eps
    return ((correct + epsilon) * 100 / (totals.support.sum() + epsilon)).reshape(1)
