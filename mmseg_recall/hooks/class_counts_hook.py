"""Class counts of the training set for the losses that ask for them."""

from __future__ import annotations

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

from ..class_counts import NUM_WORKERS, ClassCounts, cached_class_counts
from ..functional import checks


@HOOKS.register_module()
class ClassCountsHook(Hook):
    """Give every loss with ``class_counts='auto'`` the counts :math:`n_c` of the training set.

    They are counted once, before the first iteration: pixels for segmentation, samples for
    classification, see :func:`mmseg_recall.class_counts.count_classes` for what wrapped datasets
    give. They stay in the work folder as ``class_counts_<fingerprint>.json``, so that the next run
    counts again only if the dataset has changed. A resumed run keeps those of its checkpoint. Of
    several processes the first one counts while the others wait, at most as long as
    ``env_cfg.dist_cfg.timeout`` lets them.

    Args:
        num_workers: Processes that read label maps; 0 reads them in the training process.

    Raises:
        TypeError: If ``num_workers`` is not an integer.
        ValueError: If ``num_workers`` is negative; when training starts, if the classes cannot be
            counted, or a loss without ``min_count`` meets a class that never occurs.

    Examples:
        >>> loss = dict(type='BalancedSoftmaxLoss', class_counts='auto')
        >>> custom_hooks = [dict(type='ClassCountsHook')]  # in a config file
    """

    priority = 'HIGH'

    def __init__(self, num_workers: int = NUM_WORKERS):
        self.num_workers = checks.integer('num_workers', num_workers, low=0)

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
                loss.set_class_counts(counts.counts)


def training_class_counts(runner, loss: nn.Module, num_workers: int) -> ClassCounts:
    """The training set's counts, the same in every process; a warning names unseen classes.

    Args:
        runner (mmengine.runner.Runner): At the start of its training.
        loss: The loss they are for. The head around it says which label is ignored and, where the
            dataset doesn't, how many classes there are.
        num_workers: Processes that read label maps.
    """
    received = [None]
    if is_main_process():
        received[0] = cached_class_counts(
            runner.train_dataloader.dataset,
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


def _head_setting(model: nn.Module, loss: nn.Module, name: str) -> int | None:
    """An attribute of the innermost module around the loss that has it."""
    around = [part for part in model.modules() if part is not loss and loss in part.modules()]
    values = [getattr(part, name, None) for part in reversed(around)]
    return next((value for value in values if isinstance(value, int)), None)
