"""The losses of a decode head of MMSegmentation, at the resolution of its logits."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import torch
from mmseg.models.decode_heads import DDRHead, PIDHead, PointHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss, DiceLoss, OhemCrossEntropy, TverskyLoss
from mmseg.models.utils import resize
from torch import Tensor, nn

from ...functional import ClassTotals, position_cross_entropy, select_totals, tversky_index
from ...losses.base import BaseLoss, two_class_logits

#: What the logged accuracy is made of.
ACCURACY = ('support', 'true_positive')
#: What MMSegmentation adds to what it divides by.
EPSILON = torch.finfo(torch.float32).eps


def why_not(head: BaseDecodeHead) -> str | None:
    """Why a head's losses can't be computed without upsampling; ``None`` if they can."""
    if isinstance(head, LowResolution):
        return None
    if type(head).loss_by_feat is PointHead.loss_by_feat:  # of points: it upsamples nothing
        return None
    owner = _with_a_way_of_its_own(head)
    if owner:
        return f'{owner} computes its losses in a way of its own'
    if not hasattr(head, 'loss_decode'):  # K-Net's: a head within it has the losses
        return None
    if head.ignore_index is None:
        return 'its ignore_index is None'
    losses = _losses(head)
    if not any(_takes_low_resolution(head, loss) for loss in losses):
        names = ', '.join(map(_described, losses))
        return f'nothing in its loss_decode ({names}) takes logits of a lower resolution'
    return None


def serve(head: BaseDecodeHead) -> None:
    """Let a head that :func:`why_not` has nothing against compute its losses without upsampling.

    Its class becomes one of the same name with :class:`LowResolution` behind its own.
    """
    if not isinstance(head, LowResolution):
        stock = type(head)
        rewritten = REWRITTEN.get(stock.loss_by_feat)
        members = {'loss_by_feat': rewritten} if rewritten else {}
        head.__class__ = type(stock.__name__, (stock, LowResolution), members)


def _served(stock: type[BaseDecodeHead]) -> BaseDecodeHead:
    head = stock.__new__(stock)
    serve(head)
    return head


class LowResolution(BaseDecodeHead):
    """What ``super().loss_by_feat`` means to the heads that are served.

    In the order of a served head's bases it stands right before ``BaseDecodeHead``. So heads with
    several outputs, or losses beside those of ``loss_decode``, keep their own code.
    """

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples) -> dict[str, Tensor]:
        """What ``BaseDecodeHead.loss_by_feat`` computes, from per-class totals.

        Args:
            seg_logits: ``(N, C, h, w)``.
            batch_data_samples: The N samples with ``gt_sem_seg`` of (H, W).

        Returns:
            dict[str, Tensor]: The losses by their names, and ``acc_seg`` in percent, of shape (1,).
        """
        label = self._stack_batch_gt(batch_data_samples)
        weight = None
        if self.sampler is not None:
            with torch.no_grad():
                weight = self.sampler.sample(_upsampled(self, seg_logits, label[:, 0]), label)
        losses = _losses(self)
        call = dict(weight=weight, ignore_index=self.ignore_index)
        values, accuracy = _values(self, losses, seg_logits, label[:, 0], **call)
        result: dict[str, Tensor] = {}
        for loss, value in zip(losses, values):
            name = loss.loss_name
            result[name] = result[name] + value if name in result else value
        return result | dict(acc_seg=accuracy)

    def __reduce__(self):
        # Its class was made for it: pickle could not find it by its name.
        return _served, (type(self).__mro__[1],), self.__dict__


# --- heads that call their losses themselves -----------------------------------------------------


def _ddr_losses(head: DDRHead, seg_logits, batch_data_samples) -> dict[str, Tensor]:
    label = head._stack_batch_gt(batch_data_samples)[:, 0]
    context, spatial = head.loss_decode
    (loss_context,), accuracy = _values(head, [context], seg_logits[0], label)
    (loss_spatial,), _ = _values(head, [spatial], seg_logits[1], label)
    return dict(loss_context=loss_context, loss_spatial=loss_spatial, acc_seg=accuracy)


def _pid_losses(head: PIDHead, seg_logits, batch_data_samples) -> dict[str, Tensor]:
    label, edges = (labels[:, 0] for labels in head._stack_batch_gt(batch_data_samples))
    proportional, integral, derivative = seg_logits
    derivative = _upsampled(head, derivative, edges)  # of one channel
    near_edges = torch.where(derivative[:, 0].sigmoid() > 0.8, label, head.ignore_index)
    of_p, of_i, of_edges, near = head.loss_decode
    call = dict(ignore_index=head.ignore_index)
    (loss_p,), _ = _values(head, [of_p], proportional, label, **call)
    (loss_i,), accuracy = _values(head, [of_i], integral, label)
    (loss_near,), _ = _values(head, [near], integral, near_edges)
    return dict(
        loss_sem_p=loss_p,
        loss_sem_i=loss_i,
        loss_bd=of_edges(derivative, edges),
        loss_sem_bd=loss_near,
        acc_seg=accuracy,
    )


#: What stands in for a ``loss_by_feat`` that upsamples.
REWRITTEN = {DDRHead.loss_by_feat: _ddr_losses, PIDHead.loss_by_feat: _pid_losses}


def _with_a_way_of_its_own(head: BaseDecodeHead) -> str:
    """The class whose ``loss_by_feat`` leaves nothing to another one, if there is such a class."""
    if type(head).loss_by_feat in REWRITTEN:
        return ''
    for base in type(head).__mro__:
        method = vars(base).get('loss_by_feat')
        if base is BaseDecodeHead:
            break
        code = getattr(inspect.unwrap(method), '__code__', None) if method else None
        if method and (code is None or 'loss_by_feat' not in code.co_names):
            return base.__name__
    return ''


# --- losses --------------------------------------------------------------------------------------


class _Batch(NamedTuple):
    """Logits as a head gives them, full-resolution labels, and their totals."""

    logits: Tensor
    label: Tensor
    place: dict  #: ``ignore_index`` and ``align_corners``.
    totals: ClassTotals  #: Of the positions that a sampler selected.
    support: Tensor  #: Of all valid positions.


def _values(
    head: BaseDecodeHead, losses: list[nn.Module], seg_logits: Tensor, label: Tensor, **call
) -> tuple[list[Tensor], Tensor]:
    """The values of losses that MMSegmentation calls with ``call``, and the accuracy."""
    logits = two_class_logits(seg_logits)
    place = dict(ignore_index=head.ignore_index, align_corners=bool(head.align_corners))
    weight = call.get('weight')
    low = [_takes_low_resolution(head, loss) for loss in losses]
    reads = [_shared_reads(loss, logits) for loss, takes in zip(losses, low) if takes]
    fields = set(ACCURACY).union(*reads)
    totals = select_totals(fields, logits, label, position_weight=weight, **place)
    counts = totals
    if weight is not None:
        counts = select_totals(ACCURACY, logits.detach(), label, **place)
    batch = _Batch(logits, label, place, totals, counts.support)
    upsampled = None if all(low) else _upsampled(head, seg_logits, label)
    values = [
        _value(loss, batch, weight) if takes else loss(upsampled, label, **call)
        for loss, takes in zip(losses, low)
    ]
    return values, _accuracy(counts, one_channel=seg_logits.shape[1] == 1)


def _upsampled(head: BaseDecodeHead, seg_logits: Tensor, label: Tensor) -> Tensor:
    size = label.shape[1:]
    return resize(seg_logits, size, mode='bilinear', align_corners=head.align_corners)


def _losses(head: BaseDecodeHead) -> list[nn.Module]:
    several = isinstance(head.loss_decode, nn.ModuleList)
    return list(head.loss_decode) if several else [head.loss_decode]


def _described(loss: nn.Module) -> str:
    sigmoid = getattr(loss, 'use_sigmoid', False)
    return type(loss).__name__ + ('(use_sigmoid=True)' if sigmoid else '')


def _takes_low_resolution(head: BaseDecodeHead, loss: nn.Module) -> bool:
    if isinstance(loss, BaseLoss):
        return loss.ignore_index in (None, head.ignore_index)
    fits, _ = STOCK.get(type(loss), (None, None))
    return fits is not None and fits(head, loss)


def _shared_reads(loss: nn.Module, logits: Tensor) -> tuple[str, ...]:
    if isinstance(loss, BaseLoss):
        return loss.shared_reads(logits)
    return ('cross_entropy',) if isinstance(loss, CrossEntropyLoss) else ()


def _value(loss: nn.Module, batch: _Batch, weight: Tensor | None) -> Tensor:
    if not isinstance(loss, BaseLoss):
        return loss.loss_weight * STOCK[type(loss)][1](loss, batch)
    if loss.shared_reads(batch.logits):
        return loss.of_totals(batch.totals, batch.label)
    return loss(batch.logits, batch.label, weight=weight, **batch.place)


# --- those of MMSegmentation ---------------------------------------------------------------------


def _is_mean(head: BaseDecodeHead, loss: CrossEntropyLoss) -> bool:
    """A mean of the softmax; for two classes in one channel, of the sigmoid."""
    one_channel = head.out_channels == 1
    return (
        loss.use_sigmoid == one_channel
        and not loss.use_mask
        and loss.reduction == 'mean'
        and not (one_channel and loss.class_weight is not None)
    )


def _cross_entropy(loss: CrossEntropyLoss, batch: _Batch) -> Tensor:
    """The mean over all positions, or over the valid ones, or by the weights of their classes."""
    sums = batch.totals.cross_entropy
    if loss.class_weight is not None:
        class_weight = sums.new_tensor(loss.class_weight)
        return (class_weight * sums).sum() / ((class_weight * batch.support).sum() + EPSILON)
    count = batch.support.sum() if loss.avg_non_ignore else batch.label.numel()
    return sums.sum() / (count + EPSILON)


def _is_ohem(head: BaseDecodeHead, loss: OhemCrossEntropy) -> bool:
    return loss.ignore_label == head.ignore_index


def _ohem(loss: OhemCrossEntropy, batch: _Batch) -> Tensor:
    """The mean over the positions whose p_y is below a threshold, the ``min_kept``-th or higher."""
    cross_entropy = position_cross_entropy(batch.logits, batch.label, **batch.place)
    valid = cross_entropy >= 0
    p = (-cross_entropy.detach()).exp()
    count = int(valid.sum())
    if count == 0:
        return p.new_zeros(())
    rank = min(loss.min_kept, count - 1) + 1
    threshold = p[valid].kthvalue(rank).values.clamp_min(loss.thresh)
    hard = valid & (p < threshold)
    losses = torch.where(hard, cross_entropy, 0.0)
    if loss.class_weight is not None:
        losses = losses * losses.new_tensor(loss.class_weight)[torch.where(valid, batch.label, 0)]
    return losses.sum(dtype=torch.float64).to(losses) / hard.sum()


def _is_naive_dice(head: BaseDecodeHead, loss: DiceLoss) -> bool:
    """Of the softmax of all positions, with no square in the denominator."""
    return (
        loss.naive_dice
        and loss.activate
        and not loss.use_sigmoid
        and loss.reduction == 'mean'
        and loss.ignore_index not in range(head.out_channels)
        and 1 < head.out_channels <= head.ignore_index
        and head.sampler is None
    )


def _naive_dice(loss: DiceLoss, batch: _Batch) -> Tensor:
    images = _per_image(('support', 'soft_true_positive'), batch)
    hits = torch.stack([totals.soft_true_positive.sum() for totals in images])
    support = torch.stack([totals.support.sum() for totals in images])
    # The probabilities of each position sum to 1, the ignored ones' too.
    return 1 - ((2 * hits + loss.eps) / (batch.label[0].numel() + support + loss.eps)).mean()


def _is_tversky(head: BaseDecodeHead, loss: TverskyLoss) -> bool:
    return loss.ignore_index == head.ignore_index and head.out_channels > 1


def _tversky(loss: TverskyLoss, batch: _Batch) -> Tensor:
    images = _per_image(('support', 'soft_true_positive', 'soft_predicted'), batch)
    index = torch.stack([_tversky_index(loss, totals) for totals in images]).mean(0)
    losses = 1 - index
    if loss.class_weight is not None:
        losses = losses.new_tensor(loss.class_weight) * losses
    if loss.ignore_index in range(len(losses)):
        losses = losses * (torch.arange(len(losses), device=losses.device) != loss.ignore_index)
    return losses.mean()


def _tversky_index(loss: TverskyLoss, totals: ClassTotals) -> Tensor:
    # What smooths both parts of the fraction is one more position that is predicted right.
    counts = totals.soft_true_positive, totals.support, totals.soft_predicted
    return tversky_index(*(count + loss.smooth for count in counts), loss.alpha, loss.beta)


def _per_image(fields: tuple[str, ...], batch: _Batch) -> list[ClassTotals]:
    return [
        select_totals(fields, *one, **batch.place)
        for one in zip(batch.logits.split(1), batch.label.split(1))
    ]


#: Which losses of MMSegmentation are functions of totals: whether one is, and which.
STOCK = {
    CrossEntropyLoss: (_is_mean, _cross_entropy),
    OhemCrossEntropy: (_is_ohem, _ohem),
    DiceLoss: (_is_naive_dice, _naive_dice),
    TverskyLoss: (_is_tversky, _tversky),
}


def _accuracy(totals: ClassTotals, one_channel: bool) -> Tensor:
    """MMSegmentation's: of one channel, label 0 is the only prediction it knows."""
    correct = totals.support[0] if one_channel else totals.true_positive.sum()
    return ((correct + EPSILON) * 100 / (totals.support.sum() + EPSILON)).reshape(1)
