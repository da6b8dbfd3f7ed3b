"""The call contract of both libraries, once for all losses."""

import warnings
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..functional import BACKEND_NAMES, ClassTotals, checks, select_totals, sync_totals


def two_class_logits(logits: Tensor) -> Tensor:
    """One channel z, the logit of the positive of two classes, as the two (0, z)."""
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


class ClassTotalsLoss(nn.Module):
    """A loss that depends on the logits through per-class totals.

    A subclass names the totals it reads in ``fields`` and turns them into a scalar in
    :meth:`from_totals`. Everything else is here: MMSegmentation's and MMPretrain's calls, one-logit
    binary heads, logits of low resolution, and totals over all processes.

    Args:
        loss_weight: Factor on the loss.
        loss_name: The key in MMSegmentation's log; one with "loss" in it is added to the total.
        ignore_index: Label that does not count, where the call names none. Default: 255, or
            nothing for more than 255 classes, where 255 is one of them.
        sync: Use the totals of the global batch when training in several processes.
        backend: See :func:`mmseg_recall.functional.class_totals`.
        use_sigmoid: Only ``False``. It is what is left of CrossEntropyLoss where a config says
            ``loss_decode=dict(type=...)`` over a ``_base_`` that has it.
    """

    fields: ClassVar[tuple[str, ...]]
    default_name: ClassVar[str]

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str | None = None,
        ignore_index: int | None = None,
        sync: bool = True,
        backend: str = 'auto',
        use_sigmoid: bool = False,
        **unknown,
    ):
        super().__init__()
        if unknown:
            raise TypeError(
                f'{type(self).__name__} has no argument {", ".join(unknown)}. If the loss of a '
                '_base_ config left it here, replace that loss: dict(_delete_=True, type=...)'
            )
        if use_sigmoid is not False:
            raise ValueError(
                f'use_sigmoid must be one of False, but got {use_sigmoid!r}: the losses are of the '
                'softmax. Over a _base_ config with a sigmoid loss say use_sigmoid=False too'
            )
        self.loss_weight = checks.number('loss_weight', loss_weight)
        self._loss_name = self.default_name if loss_name is None else loss_name
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
        totals: ClassTotals | None = None,
        **kwargs,
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            logits: ``(N, C)`` or ``(N, C, d1, ...)``; with C = 1 logits z of the positive of two
                classes, the same as the two logits (0, z).
            target: ``(N)`` or ``(N, d1, ...)`` labels, of the logits' or a higher resolution.
            weight: A weight for each position, as MMSegmentation's pixel samplers pass; positions
                of weight 0 do not count.
            avg_factor: What a mean over valid positions divides by instead of their number, as
                MMPretrain passes.
            ignore_index: Label that does not count; default: the constructor's.
            align_corners: Of the upsampling, where the target is of a higher resolution.
            reduction_override: The losses are scalars: only ``None`` and ``'mean'``.
            totals: Those of this very call, with :meth:`shared_fields` among them, where several
                losses share one pass over the logits.

        Returns:
            A scalar in float32 or better.
        """
        checks.choice('reduction_override', reduction_override, (None, 'mean'))
        checks.logits_and_target(logits, target)
        logits = two_class_logits(logits)
        ignore_index = self._ignored(ignore_index, logits)
        if totals is not None:
            return self.loss_weight * self.from_process(totals, target, avg_factor)
        call = dict(ignore_index=ignore_index, position_weight=weight, align_corners=align_corners)
        return self.loss_weight * self.compute(logits, target, avg_factor, call)

    def shared_fields(self, logits: Tensor) -> tuple[str, ...]:
        """What it reads of the plain totals; nothing where it needs a pass of its own."""
        own_pass = self.backend != 'auto' or self.options(logits)
        return () if own_pass else self.fields

    def compute(self, logits: Tensor, target: Tensor, avg_factor, call: dict) -> Tensor:
        """One pass over the logits, and the loss."""
        return self.from_process(self.totals(logits, target, call), target, avg_factor)

    def from_process(self, totals: ClassTotals, target: Tensor, avg_factor) -> Tensor:
        """The totals of this process, then those of all, then the loss."""
        denominator = self._denominator(totals, target, avg_factor)
        if self._syncs:
            totals, denominator = sync_totals(totals, denominator)
        return self.from_totals(totals, denominator)

    def totals(self, logits: Tensor, target: Tensor, call: dict) -> ClassTotals:
        """Collect the totals the loss reads; ``call`` holds what came with the call."""
        return select_totals(
            self.fields, logits, target, backend=self.backend, **call, **self.options(logits)
        )

    def options(self, logits: Tensor) -> dict:
        """Further arguments of :func:`class_totals`: a class bias, a margin, a focal gamma."""
        return {}

    def from_totals(self, totals: ClassTotals, denominator: Tensor) -> Tensor:
        """Turn the totals into a scalar; ``denominator`` is what a plain mean divides by."""
        raise NotImplementedError

    def _denominator(self, totals: ClassTotals, target: Tensor, avg_factor) -> Tensor:
        """The number of valid positions, or what MMPretrain wants in its place."""
        if avg_factor is None:
            return totals.support.sum()
        return torch.as_tensor(avg_factor, dtype=totals.support.dtype).to(totals.support.device)

    @property
    def _syncs(self) -> bool:
        # Not in evaluation: there processes need not hold the same number of batches.
        return self.sync and self.training

    def _ignored(self, ignore_index: int | None, logits: Tensor) -> int:
        if ignore_index is None:
            if self.ignore_index is not None:
                return self.ignore_index
            return 255 if logits.shape[1] <= 255 else -100
        if self.ignore_index not in (None, ignore_index):
            warnings.warn(
                f'{type(self).__name__} was built with ignore_index={self.ignore_index} but is '
                f"called with ignore_index={ignore_index}, which wins: set the head's ignore_index",
                stacklevel=3,
            )
        return ignore_index
