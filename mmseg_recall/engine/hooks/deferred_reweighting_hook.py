"""Deferred re-weighting (DRW): class weights for the last part of the training only."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop
from torch import Tensor, nn

from ...datasets.class_counts import NUM_WORKERS
from ...functional import checks, effective_number_weights, positive_class_counts, saturated_beta
from .class_counts_hook import training_class_counts


@HOOKS.register_module()
class DeferredReweightingHook(Hook):
    r"""Weigh the classes by their effective numbers of samples from some epoch on.

    .. math::
        w_c \propto \frac{1 - \beta}{1 - \beta^{n_c}}, \qquad \sum_c w_c = C

    is given to every loss that takes class weights (``LDAMLoss``, ``SoftmaxFocalLoss``,
    ``BalancedSoftmaxLoss``); until then they weigh all classes the same. From then on a loss is a
    weighted mean, :math:`\sum_n w_{y_n} l_n / \sum_n w_{y_n}`, so that its steps keep their size.
    :math:`n_c` are the loss's own ``class_counts``, or where it has none the training set's,
    counted as :class:`ClassCountsHook` does. The weights follow from :math:`n_c` and the epoch
    alone, so a run resumed behind ``begin`` has them too.

    Args:
        begin: When the weights set in, at least 0: the epoch under ``EpochBasedTrainLoop``, the
            iteration under ``IterBasedTrainLoop``, both counted from 0 as the schedulers'
            ``begin`` and milestones are.
        beta: In [0, 1). 0 weighs all classes the same; towards 1 the weights become inverse
            frequencies.
        num_workers: Processes that read label maps, where the training set has to be counted.

    Raises:
        TypeError: If ``begin`` or ``num_workers`` is not an integer, or ``beta`` not a number.
        ValueError: If one of them is outside its range; when training starts, if no loss takes
            class weights, or a class never occurs.

    Reference:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, 2019,
        Algorithm 1.

    Examples:
        >>> hook = dict(type='DeferredReweightingHook', begin=160)
        >>> custom_hooks = [dict(type='ClassCountsHook'), hook]  # in a config file
    """

    priority = 'NORMAL'

    def __init__(self, begin: int, beta: float = 0.9999, num_workers: int = NUM_WORKERS):
        self.begin = checks.integer('begin', begin, low=0)
        self.beta = checks.number('beta', beta, low=0, high=1, high_open=True)
        self.num_workers = checks.integer('num_workers', num_workers, low=0)

    def before_train(self, runner) -> None:
        """Find the losses and compute their weights; a model without one is a mistake."""
        losses = [part for part in runner.model.modules() if hasattr(part, 'set_class_weight')]
        if not losses:
            raise ValueError(
                'DeferredReweightingHook found no loss in the model that takes class weights (such '
                "as type='LDAMLoss' or 'SoftmaxFocalLoss'): use one, or remove the hook"
            )
        self._by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
        end = runner.max_iters if self._by_iteration else runner.max_epochs
        if self.begin >= end:
            runner.logger.warning(
                f'DeferredReweightingHook will do nothing: training ends at {self._unit} {end}, '
                f'before begin={self.begin}'
            )
        self._pending = [(loss, self._weight(runner, loss)) for loss in losses]

    def before_train_epoch(self, runner) -> None:
        """Switch the weights on, where the loop counts epochs."""
        if not self._by_iteration:
            self._switch_on(runner, runner.epoch)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Switch the weights on, where the loop counts iterations."""
        if self._by_iteration:
            self._switch_on(runner, runner.iter)

    def _switch_on(self, runner, now: int) -> None:
        if now < self.begin or not self._pending:
            return
        for loss, weight in self._pending:
            loss.set_class_weight(weight)
        self._pending = []
        runner.logger.info(f'class weights are on from {self._unit} {now}')

    @property
    def _unit(self) -> str:
        return 'iteration' if self._by_iteration else 'epoch'

    def _weight(self, runner, loss: nn.Module) -> Tensor:
        counts = getattr(loss, 'class_counts', None)
        if counts is None:
            counts = training_class_counts(runner, loss, self.num_workers).counts
            counts = positive_class_counts(torch.tensor(counts, dtype=torch.float64))
        message = saturated_beta(counts, self.beta)
        if message:
            runner.logger.warning(message)
        # On the model's device from now on: no copy in each iteration.
        device = next(runner.model.parameters()).device
        return effective_number_weights(counts, self.beta).to(device, torch.float32)
