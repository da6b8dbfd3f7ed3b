"""The call contract of both libraries, once for all losses."""

import warnings
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ..functional import (
    BACKEND_NAMES,
    Backend,
    ClassTotals,
    checks,
    class_sums,
    label_losses,
    position_losses,
    select_totals,
    soft_terms,
    sync_totals,
)
from .box_head import BoxHeadMixin

#: What a config that says ``loss_decode=dict(type=...)`` over a ``_base_`` with CrossEntropyLoss
#: inherits from it, and the values that mean nothing to a loss of the softmax over valid positions.
LEFTOVERS = dict(
    use_sigmoid=(False,),
    use_mask=(False,),
    avg_non_ignore=(True, False),
    reduction=('mean',),
    class_weight=(None,),
)


def two_class_logits(logits: Tensor) -> Tensor:
    """One channel z, the logit of the positive of two classes, as the two (0, z)."""
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


class Batch(NamedTuple):
    """The checked arguments of a call."""

    logits: Tensor
    target: Tensor
    avg_factor: float | None
    ignore_index: int
    position_weight: Tensor | None
    align_corners: bool


def positions(batch: Batch) -> dict:
    """Which positions count, and how much, as arguments of :func:`.class_totals`."""
    return dict(
        ignore_index=batch.ignore_index,
        position_weight=batch.position_weight,
        align_corners=batch.align_corners,
    )


class Count(NamedTuple):
    """What a mean over positions divides by, scalar tensors, of all processes with ``sync``."""

    valid: Tensor  #: The number of valid positions, or MMPretrain's ``avg_factor``.
    all: Tensor  #: The number of positions, ignored ones too.


class BaseLoss(BoxHeadMixin):
    """The libraries' calls, one-logit binary heads, logits of low resolution.

    A subclass computes the loss of a :class:`Batch` in :meth:`compute`, and that of each position
    in :meth:`per_position`.

    Args:
        loss_weight: Factor on the loss.
        loss_name: The key in MMSegmentation's log; one with "loss" in it is added to the total.
        ignore_index: Label that does not count, where the call names none. Default: 255, or
            nothing for more than 255 classes, where 255 is one of them.
        sync: Use the totals of the global batch when training in several processes.
        backend: See :func:`mmseg_recall.functional.class_totals`.
        **leftovers: ``use_sigmoid=False``, ``use_mask=False``, ``avg_non_ignore``,
            ``reduction='mean'`` and ``class_weight=None`` are accepted and mean nothing: what is
            left of CrossEntropyLoss where a config says ``loss_decode=dict(type=...)`` over a
            ``_base_`` that has it.
    """

    default_name: ClassVar[str]
    #: Whether a target may hold scores of the classes instead of labels.
    soft_targets: ClassVar[bool] = False

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str | None = None,
        ignore_index: int | None = None,
        sync: bool = True,
        backend: str = 'auto',
        **leftovers,
    ):
        super().__init__()
        _check_leftovers(type(self).__name__, leftovers)
        self.loss_weight = checks.number('loss_weight', loss_weight)
        self._loss_name = self.default_name if loss_name is None else loss_name
        if ignore_index is not None:
            checks.integer('ignore_index', ignore_index)
        self.ignore_index = ignore_index
        self.sync = sync
        self.backend = checks.choice('backend', backend, BACKEND_NAMES)

    @property
    def loss_name(self) -> str:
        return self._loss_name

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        ignore_index: int | None = None,
        *,
        align_corners: bool = False,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            logits: ``(N, C)`` or ``(N, C, d1, ...)``; with C = 1 logits z of the positive of two
                classes, the same as the two logits (0, z).
            target: ``(N)`` or ``(N, d1, ...)`` labels, of the logits' or a higher resolution.
                Where the loss has a meaning for soft targets, also scores of all classes, in the
                shape of ``logits``.
            weight: A weight for each position, as MMSegmentation's pixel samplers pass; positions
                of weight 0 do not count.
            avg_factor: What a mean over valid positions divides by instead of their number, as
                MMPretrain and MMDetection pass.
            ignore_index: Label that does not count; default: the constructor's.
            align_corners: Passed on to the bilinear upsampling of logits of a lower resolution.
            reduction_override: ``None`` or ``'mean'``: the loss; ``'none'``: the loss of each
                position, whose mean over the valid ones is the loss, as MMSegmentation's
                ``OHEMPixelSampler`` and MMDetection's ``OHEMSampler`` ask for. State does not move
                then.

        Returns:
            A scalar in float32 or better; with ``'none'`` the shape of ``target``.
        """
        checks.choice('reduction_override', reduction_override, (None, 'mean', 'none'))
        checks.logits_and_target(logits, target, self.soft_targets)
        logits = two_class_logits(logits)
        ignore_index = self._ignored(ignore_index, logits)
        batch = Batch(logits, target, avg_factor, ignore_index, weight, align_corners)
        if reduction_override == 'none':
            return self.loss_weight * self.per_position(batch)
        return self.loss_weight * self.compute(batch)

    def compute(self, batch: Batch) -> Tensor:
        """The loss of a batch, ``loss_weight`` apart."""
        raise NotImplementedError

    def per_position(self, batch: Batch) -> Tensor:
        """The loss of each position, 0 where it does not count."""
        raise ValueError(
            f"reduction_override='none' has no meaning for {type(self).__name__}, which is no mean "
            'over positions. A pixel sampler that ranks by it needs another loss, or thresh'
        )

    def shared_reads(self, logits: Tensor) -> tuple[str, ...]:
        """The plain totals it is a function of; nothing where it needs a pass of its own."""
        return ()

    @property
    def _syncs(self) -> bool:
        # Not in evaluation: there processes need not hold the same number of batches.
        return self.sync and self.training

    def _ignored(self, ignore_index: int | None, logits: Tensor) -> int:
        if ignore_index is None:
            if self.ignore_index is not None:
                return self.ignore_index
            return 255 if logits.shape[1] <= 255 and not self.background else -100
        if self.ignore_index not in (None, ignore_index):
            warnings.warn(
                f'{type(self).__name__} was built with ignore_index={self.ignore_index} but is '
                f"called with ignore_index={ignore_index}, which wins: set the head's ignore_index",
                stacklevel=3,
            )
        return checks.integer('ignore_index', ignore_index)


class ClassTotalsLoss(BaseLoss):
    """A loss that is a function of per-class totals.

    A subclass names the totals it ``reads`` and turns them into a scalar in :meth:`from_totals`.

    Args:
        **kwargs: See :class:`.BaseLoss`.
    """

    reads: ClassVar[tuple[str, ...]]
    #: The names of what it has to log.
    logs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        #: Totals to collect beside ``reads``: a hook that logs more asks for them.
        self.also_reads: tuple[str, ...] = ()
        #: What the last step of training has to log: ``(C,)`` tensors by name.
        self.log_vars: dict[str, Tensor] = {}

    def options(self, num_classes: int, device: torch.device) -> dict:
        """Further arguments of :func:`.class_totals`: a class bias, a margin, a focal gamma."""
        return {}

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict[str, Tensor]]:
        """Turn totals into the loss, and what to log of it; changes nothing."""
        raise NotImplementedError

    def remember(self, log_vars: dict[str, Tensor]) -> None:
        """Keep what the next step of training depends on."""

    def compute(self, batch: Batch) -> Tensor:
        totals = self._totals(batch)
        return self._finish(*self._synced(totals, batch.target, batch.avg_factor, self._syncs))

    def of_totals(self, totals: ClassTotals, target: Tensor) -> Tensor:
        """The loss, where several share one pass over the logits.

        Args:
            totals: The totals of this process's batch, with :meth:`shared_reads` among them.
            target: The labels of the batch.
        """
        return self.loss_weight * self._finish(*self._synced(totals, target, None, self._syncs))

    def shared_reads(self, logits: Tensor) -> tuple[str, ...]:
        own_pass = self.backend != 'auto' or self.options(logits.shape[1], logits.device)
        return () if own_pass else (*self.reads, *self.also_reads)

    def per_position(self, batch: Batch) -> Tensor:
        # The loss is linear in the sums over positions: its slope in a class's is their weight.
        summed = self._summed()
        if len(summed) != 1 or not {'soft_true_positive', 'soft_predicted'}.isdisjoint(self.reads):
            return super().per_position(batch)
        (name,) = summed
        with torch.no_grad():
            # MMDetection's OHEMSampler asks where it finds hard boxes, which not each process does.
            sync = self._syncs and not self.background
            totals, count = self._synced(self._totals(batch), batch.target, batch.avg_factor, sync)
        with torch.enable_grad():
            sums = getattr(totals, name).detach().requires_grad_()
            loss, _ = self.from_totals(totals._replace(**{name: sums}), count)
            (slope,) = torch.autograd.grad(loss, sums)
        return totals.support.sum() * self.weighted_losses(batch, slope)

    def totals(self, logits: Tensor, target: Tensor, backend: Backend, **counted) -> ClassTotals:
        """The totals it reads.

        Args:
            logits: ``(N, C)`` or ``(N, C, d1, ...)``.
            target: Labels, or scores in the shape of ``logits``.
            backend: See :func:`.class_totals`.
            **counted: Which positions count, and how much: see :func:`positions`.
        """
        if target.is_floating_point():
            weight = counted.get('position_weight')
            terms, scores = soft_terms(logits, target, self.label_losses, weight)
            (name,) = self._summed()
            return ClassTotals(support=class_sums(scores), **{name: class_sums(terms)})
        return select_totals(
            (*self.reads, *self.also_reads),
            logits,
            target,
            backend=backend,
            **counted,
            **self.options(logits.shape[1], logits.device),
        )

    def label_losses(self, logits: Tensor) -> Tensor:
        """What each class would cost if it were the label, in the shape of ``logits``."""
        return label_losses(logits, **self.options(logits.shape[1], logits.device))

    def weighted_losses(self, batch: Batch, weight: Tensor) -> Tensor:
        """The loss of each position, times the ``(C,)`` weight of its label."""
        if batch.target.is_floating_point():
            terms, _ = soft_terms(
                batch.logits, batch.target, self.label_losses, batch.position_weight
            )
            return torch.einsum('nc...,c->n...', terms, weight)
        options = self.options(batch.logits.shape[1], batch.logits.device)
        losses, y = position_losses(batch.logits, batch.target, **positions(batch), **options)
        return weight[y] * losses

    def _summed(self) -> list[str]:
        """Which of the totals it reads are sums of losses of positions."""
        return [name for name in ('cross_entropy', 'focal') if name in self.reads]

    def _totals(self, batch: Batch) -> ClassTotals:
        return self.totals(batch.logits, batch.target, self.backend, **positions(batch))

    def _synced(
        self, totals: ClassTotals, target: Tensor, avg_factor: float | None, sync: bool
    ) -> tuple[ClassTotals, Count]:
        """The totals of this process, then those of all."""
        support = totals.support
        valid = support.sum()
        if avg_factor is not None:
            valid = torch.as_tensor(avg_factor).to(support).reshape(())
        count = torch.stack([valid, support.new_full((), target.numel())])
        if sync:
            totals, count = sync_totals(totals, count)
        return totals, Count(count[0], count[1])

    def _finish(self, totals: ClassTotals, count: Count) -> Tensor:
        loss, log_vars = self.from_totals(totals, count)
        if self.training:
            self.log_vars = log_vars
            self.remember(log_vars)
        return loss


def _check_leftovers(loss: str, leftovers: dict) -> None:
    unknown = leftovers.keys() - LEFTOVERS.keys()
    if unknown:
        raise TypeError(
            f'{loss} has no argument {", ".join(sorted(unknown))}. If the loss of a _base_ config '
            'left it here, replace that loss: dict(_delete_=True, type=...)'
        )
    for name, value in leftovers.items():
        # By identity first: class weights may be an array.
        if not any(
            value is accepted or (value == accepted) is True for accepted in LEFTOVERS[name]
        ):
            listed = ', '.join(map(repr, LEFTOVERS[name]))
            raise ValueError(
                f'{name} must be one of {listed}, but got {value!r}: the losses are means of the '
                f'softmax. Over a _base_ config that says otherwise say {name}='
                f'{LEFTOVERS[name][0]!r} too, or dict(_delete_=True, type=...)'
            )
