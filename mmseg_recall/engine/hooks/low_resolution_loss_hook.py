"""MMSegmentation's decode heads without full-resolution logits: ``LowResolutionLossHook``."""

from __future__ import annotations

import types
import warnings

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ...functional import ClassTotals, checks, select_totals
from ...losses import ClassTotalsLoss
from ...losses.base import two_class_logits

#: What the logged accuracy is made of.
ACCURACY = ('support', 'true_positive')


@HOOKS.register_module()
class LowResolutionLossHook(Hook):
    """Train every stock decode head without upsampling its logits.

    MMSegmentation resizes the logits to the labels' resolution, copies them in every loss, and
    sorts them once more for ``acc_seg``. With this hook the losses get the logits as the head made
    them and interpolate them strip by strip; losses that read the same totals share one pass, and
    ``acc_seg`` comes from it too. Names in checkpoints and logs, values and gradients stay the
    same, up to rounding.

    It serves decode and auxiliary heads that compute their losses as ``BaseDecodeHead`` does,
    without a pixel sampler, with the losses of this package and MMSegmentation's
    ``CrossEntropyLoss`` (softmax, without ``class_weight``), alone or in lists.

    Args:
        unsupported: What a head that can't be served gets: ``'error'``, or ``'stock'`` to leave it
            as it is, with one warning.

    Raises:
        ValueError: If ``unsupported`` is something else; when training starts, for such a head, or
            a model without any decode head.

    Examples:
        >>> hook = dict(type='LowResolutionLossHook')
        >>> custom_hooks = [hook]  # in a config file
    """

    def __init__(self, unsupported: str = 'error'):
        self.unsupported = checks.choice('unsupported', unsupported, ('error', 'stock'))

    def before_train(self, runner) -> None:
        """Change how the heads compute their losses."""
        heads = {
            name: part
            for name, part in runner.model.named_modules()
            if isinstance(part, BaseDecodeHead)
        }
        if not heads:
            raise ValueError(
                'LowResolutionLossHook found no decode head of MMSegmentation in the model: remove '
                'the hook'
            )
        for name, head in heads.items():
            reason = why_not(head)
            if not reason:
                head.loss_by_feat = types.MethodType(loss_by_feat, head)
            elif self.unsupported == 'stock':
                warnings.warn(f'{name} upsamples its logits as before: {reason}', stacklevel=2)
            else:
                raise ValueError(
                    f'LowResolutionLossHook cannot serve {name}: {reason}. To leave such heads as '
                    "they are: unsupported='stock'"
                )


def why_not(head: BaseDecodeHead) -> str | None:
    """Why a head needs logits of full resolution; ``None`` if it does not."""
    if type(head).loss_by_feat is not BaseDecodeHead.loss_by_feat:
        return f'{type(head).__name__} computes its losses in a way of its own'
    if head.sampler is not None:
        return f'its sampler {type(head.sampler).__name__} looks at upsampled logits'
    if head.ignore_index is None:
        return 'its ignore_index is None'
    for loss in _losses(head):
        if not isinstance(loss, ClassTotalsLoss) and not _is_plain(loss):
            return f'its loss {type(loss).__name__} does not take logits of a lower resolution'
        if not isinstance(loss, ClassTotalsLoss) and head.out_channels == 1:
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
    fields = {field for loss in _losses(head) for field in _shared_fields(loss, logits)}
    totals = select_totals(fields.union(ACCURACY), logits, label, **call)
    result: dict[str, Tensor] = {}
    for loss in _losses(head):
        if not isinstance(loss, ClassTotalsLoss):
            value = _cross_entropy(loss, totals, label)
        else:
            shared = totals if _shared_fields(loss, logits) else None
            value = loss(logits, label, totals=shared, **call)
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


def _shared_fields(loss: nn.Module, logits: Tensor) -> tuple[str, ...]:
    if isinstance(loss, ClassTotalsLoss):
        return loss.shared_fields(logits)
    return ('support', 'cross_entropy')


def _cross_entropy(loss: CrossEntropyLoss, totals: ClassTotals, label: Tensor) -> Tensor:
    """MMSegmentation's mean: over all positions unless ``avg_non_ignore``."""
    count = totals.support.sum() if loss.avg_non_ignore else label.numel()
    return loss.loss_weight * totals.cross_entropy.sum() / count


def _accuracy(totals: ClassTotals, one_channel: bool) -> Tensor:
    """MMSegmentation's: of one channel, label 0 is the only prediction it knows."""
    right = totals.support[0] if one_channel else totals.true_positive.sum()
    epsilon = torch.finfo(torch.float32).eps
    return ((right + epsilon) * 100 / (totals.support.sum() + epsilon)).reshape(1)
