"""Class counts of the training set for the losses that ask for them."""

from __future__ import annotations

import copy
from typing import Literal

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from torch import nn

from ...datasets.class_counts import NUM_WORKERS, ClassCounts, cached_class_counts
from ...functional import checks


@HOOKS.register_module()
class ClassCountsHook(Hook):
    """Give all with ``class_counts='auto'`` the counts :math:`n_c` of the training set.

    The losses get them before the first iteration, metrics (``LongTailAccuracy``) before they are
    first asked, also in testing alone, where the training set is built for that and nothing else.

    They are counted once: pixels for segmentation, samples for classification, instances for
    detection, see :func:`mmseg_recall.datasets.count_classes` for what wrapped datasets give. They
    stay in the work folder as ``class_counts_<fingerprint>.json``, so that the next run counts
    again only if the dataset has changed. A resumed run keeps those of its checkpoint. Of several
    processes the first one counts while the others wait, at most as long as
    ``env_cfg.dist_cfg.timeout`` lets them.

    Args:
        num_workers: Processes that read label maps; 0 reads them in the training process.
        count: ``'occurrences'``, or ``'images'``: the number of images a class is in, however
            often.

    Raises:
        TypeError: If ``num_workers`` is not an integer.
        ValueError: If ``num_workers`` is negative, or ``count`` another one; when training starts,
            if the classes cannot be counted, or a loss without ``min_count`` meets a class that
            never occurs.

    Examples:
        >>> loss = dict(type='BalancedSoftmaxLoss', class_counts='auto')
        >>> custom_hooks = [dict(type='ClassCountsHook')]  # in a config file
    """

    priority = 'HIGH'

    def __init__(
        self,
        num_workers: int = NUM_WORKERS,
        count: Literal['occurrences', 'images'] = 'occurrences',
    ):
        self.num_workers = checks.integer('num_workers', num_workers, low=0)
        self.count = checks.choice('count', count, ('occurrences', 'images'))

    def before_train(self, runner) -> None:
        """Count, unless a resumed checkpoint brought the counts."""
        losses = [
            part for part in runner.model.modules() if getattr(part, 'auto_class_counts', False)
        ]
        if runner.iter > 0:
            # At iteration 0 they are of another training (load_from), maybe of other data.
            losses = [loss for loss in losses if loss.class_counts is None]
        if losses:
            counts = training_class_counts(runner, losses[0], self.num_workers)
            for loss in losses:
                loss.set_class_counts(counts.numbers(self.count))

    def before_val(self, runner) -> None:
        """Give the validation's metrics their counts."""
        self._inform(runner, runner.val_loop)

    def before_test(self, runner) -> None:
        """Give the test's metrics their counts."""
        self._inform(runner, runner.test_loop)

    def _inform(self, runner, loop) -> None:
        metrics = [
            metric
            for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', ())
            if getattr(metric, 'auto_class_counts', False) and metric.class_counts is None
        ]
        # Without a training set the metric itself says what is missing.
        if metrics and runner._train_dataloader is not None:
            counts = training_class_counts(runner, None, self.num_workers)
            for metric in metrics:
                metric.set_class_counts(counts.numbers(self.count))


def training_class_counts(runner, loss: nn.Module | None, num_workers: int) -> ClassCounts:
    """The training set's counts, the same in every process; a warning names unseen classes.

    Args:
        runner (mmengine.runner.Runner): The runner, at the start of its training.
        loss: The loss they are for. The head around it says which label is ignored and, where the
            dataset doesn't, how many classes there are; for ``None`` the model's last head does.
        num_workers: Processes that read label maps.
    """
    received = [None]
    if is_main_process():
        received[0] = cached_class_counts(
            _training_set(runner),
            runner.work_dir,
            num_classes=_head_setting(runner.model, loss, 'num_classes'),
            ignore_index=_head_setting(runner.model, loss, 'ignore_index'),
            num_workers=num_workers,
        )
    broadcast_object_list(received)
    (counts,) = received
    if counts.unseen:
        runner.logger.warning(
            f'never seen in the {counts.num_images} training images: {", ".join(counts.unseen)}'
        )
    return counts


def _training_set(runner):
    """The dataset alone where there is no training: no loop, no optimizer, no worker."""
    loader = getattr(runner, '_train_dataloader', None)
    if isinstance(loader, dict) and isinstance(runner._train_loop, dict):
        return DATASETS.build(copy.deepcopy(loader['dataset']))
    return runner.train_dataloader.dataset


def _head_setting(model: nn.Module, loss: nn.Module | None, name: str) -> int | None:
    """An attribute of the innermost module around the loss that has it."""
    around = [
        part
        for part in model.modules()
        if loss is None or (part is not loss and loss in part.modules())
    ]
    values = [getattr(part, name, None) for part in reversed(around)]
    return next((value for value in values if isinstance(value, int)), None)
