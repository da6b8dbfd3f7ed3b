"""A sentence about wrong labels, before a device assert or an IoU of 0."""

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import Tensor, nn

from ...functional import checks


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Check the first batches' labels, and the lengths of per-class lists, against the heads.

    Stops the run with a sentence where a label is neither in [0, num_classes) nor the head's
    ``ignore_index``, where the dataset names another number of classes than a head predicts, and
    where a loss has a per-class list of another length. Warns where a batch is ignored wholly.
    Works on what the data loader gives, on the CPU, so it costs the training nothing.

    Args:
        num_batches: How many batches to look at, at least 1.

    Examples:
        >>> custom_hooks = [dict(type='LabelCheckHook')]  # in a config file
    """

    priority = 'VERY_HIGH'

    def __init__(self, num_batches: int = 10):
        self.num_batches = checks.integer('num_batches', num_batches, low=1)
        self._seen = 0

    def before_train(self, runner) -> None:
        """Compare the lengths that are known without data."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._heads = heads_of_classes(model)
        if not self._heads:
            raise ValueError('LabelCheckHook found no head with num_classes in the model')
        names = runner.train_dataloader.dataset.metainfo.get('classes')
        for name, head in self._heads.items():
            check_lengths(name, head, names)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Look at one batch, as long as ``num_batches`` of them have not been seen."""
        if self._seen >= self.num_batches:
            return
        self._seen += 1
        labels = [_label(sample) for sample in data_batch['data_samples']]
        for name, head in self._heads.items():
            check_labels(name, head, labels, data_batch['data_samples'])
            ignore_index = getattr(head, 'ignore_index', None)
            if ignore_index is not None and all((label == ignore_index).all() for label in labels):
                runner.logger.warning(
                    f'batch {self._seen}: every label is ignore_index={ignore_index} of {name}, '
                    'nothing can be learned from it'
                )


def heads_of_classes(model: nn.Module) -> dict[str, nn.Module]:
    """The decode, classification and box heads: what has classes and a loss of its own.

    Not STDC's head of edges, whose two classes are others than the dataset's.
    """
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(getattr(part, 'num_classes', None), int)
        and (hasattr(part, 'loss_decode') or hasattr(part, 'loss_module') or is_box_head(part))
        and 'STDCHead' not in (base.__name__ for base in type(part).__mro__)
    }


def is_box_head(part: nn.Module) -> bool:
    """Whether it classifies boxes in MMDetection, background too: not the head of proposals."""
    return hasattr(part, 'fc_cls') and hasattr(part, 'loss_cls')


def _label(sample) -> Tensor:
    if 'gt_sem_seg' in sample:
        return sample.gt_sem_seg.data
    if 'gt_instances' in sample:
        return sample.gt_instances.labels
    label = sample.gt_score if 'gt_score' in sample else sample.gt_label
    # Soft labels (Mixup) have a score for each class and no value to check.
    return label if not label.is_floating_point() else torch.empty(0, dtype=torch.long)


def check_lengths(name: str, head: nn.Module, names) -> None:
    """Compare a head's number of classes with the names, and with its per-class lists.

    Raises:
        ValueError: A sentence, if they differ.
    """
    if names is not None and len(names) != head.num_classes:
        raise ValueError(
            f'{name}.num_classes={head.num_classes}, but the training set names {len(names)} '
            f'classes: {", ".join(map(str, names))}. Set num_classes of every head (auxiliary '
            'heads too) to the number of classes, the ignored label not counted'
        )
    background = is_box_head(head)
    for loss_name, loss in head.named_modules():
        weight = getattr(loss, 'class_weight', None)
        if isinstance(weight, (list, tuple)) and len(weight) != head.num_classes + background:
            raise ValueError(
                f'class_weight of {name}.{loss_name} has {len(weight)} numbers, but '
                f'{name}.num_classes={head.num_classes}'
                f'{", and background has one too" if background else ""}'
            )


def check_labels(name: str, head: nn.Module, labels: list[Tensor], samples) -> None:
    """Look for labels that are neither classes of a head nor ignored by it.

    Raises:
        ValueError: A sentence with the file, if there are some.
    """
    ignore_index = getattr(head, 'ignore_index', None)
    for label, sample in zip(labels, samples):
        values = label.unique()
        wrong = values[(values < 0) | (values >= head.num_classes)]
        if ignore_index is not None:
            wrong = wrong[wrong != ignore_index]
        if wrong.numel():
            path = sample.get('seg_map_path') or sample.get('img_path') or 'a training sample'
            raise ValueError(
                f'{path} has the labels {wrong.tolist()}, but {name}.num_classes='
                f'{head.num_classes} and ignore_index={ignore_index}: labels must be in '
                f'[0, {head.num_classes}) or be ignored. Where 0 means "no class", set '
                'reduce_zero_label=True in the dataset; where the labels are ids of another '
                'list, map them with label_map; otherwise raise num_classes'
            )
