"""Per-class recall and weight of a recall loss, over the training."""

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import Tensor, nn

from ...functional import checks
from ...losses import ClassTotalsLoss
from ..scalars import as_logged


@HOOKS.register_module()
class RecallWeightsHook(Hook):
    """Write each class's recall and weight to the visualizer every ``interval`` iterations.

    The scalars are ``recall/<class>`` and ``recall_weight/<class>``: means over the iterations of
    the interval in which the class was in the batch; a class that was in none is left out. With
    several such losses the name of the head (and the loss's place in a list) goes in front. The
    values are summed on the device and copied to the host once an interval. No name contains
    "loss", since MMEngine users read such keys as parts of the total.

    Args:
        interval: Iterations between two lines, at least 1.
        focal_weight: Whether to write ``focal_weight/<class>`` too, the mean of 1 - p_y over the
            positions of the class: the weight focal loss (gamma 1) would give them. One more total
            of the pass that the loss makes anyway.

    Reference:
        Recall Loss for Imbalanced Image Classification and Semantic Segmentation, Fig. 1a and 2c;
        its appendix, A.1 and Fig. 4, for the focal weights.

    Examples:
        >>> hook = dict(type='RecallWeightsHook', interval=10)
        >>> custom_hooks = [hook]  # in a config file
    """

    priority = 'NORMAL'

    def __init__(self, interval: int = 50, focal_weight: bool = False):
        self.interval = checks.integer('interval', interval, low=1)
        self.focal_weight = checks.choice('focal_weight', focal_weight, (True, False))
        self._sums: dict[str, Tensor] = {}

    def before_train(self, runner) -> None:
        """Find the losses; a model without one is a mistake in the config."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._losses = recall_losses(model)
        if not self._losses:
            raise ValueError(
                'RecallWeightsHook found no loss in the model that keeps per-class recall '
                "(type='RecallLoss'): add one, or remove the hook"
            )
        if self.focal_weight:
            for loss in self._losses.values():
                loss.also_reads = ('soft_true_positive',)
        self._sums.clear()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Add this iteration to the sums; write them at the end of the interval."""
        for prefix, loss in self._losses.items():
            self._add(prefix, loss)
        if self.every_n_train_iters(runner, self.interval) and self._sums:
            self._write(runner)

    def _add(self, prefix: str, loss: ClassTotalsLoss) -> None:
        if not loss.log_vars:
            return
        present = loss.log_vars['present'].float()
        values = [loss.log_vars[name] for name in self._names]
        row = torch.stack([present, *(present * value for value in values)])
        self._sums[prefix] = self._sums[prefix] + row if prefix in self._sums else row

    @property
    def _names(self) -> tuple[str, ...]:
        return ('recall', 'recall_weight', *(['focal_weight'] if self.focal_weight else []))

    def _write(self, runner) -> None:
        names = runner.train_dataloader.dataset.metainfo.get('classes')
        if names:
            names = [*names, 'background']  # behind the last class in box heads
        prefixes = list(self._sums)
        sizes = [self._sums[prefix].shape[1] for prefix in prefixes]
        host = torch.cat([self._sums[prefix] for prefix in prefixes], 1).cpu()  # the one copy
        scalars = {}
        for prefix, part in zip(prefixes, host.split(sizes, 1)):
            scalars.update(_scalars(prefix, part.tolist(), self._names, names))
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
        self._sums.clear()


def recall_losses(model: nn.Module) -> dict[str, ClassTotalsLoss]:
    """The losses of a model that log their recall, by the prefix of their scalars."""
    found = {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, ClassTotalsLoss) and 'recall' in part.logs
    }
    if len(found) == 1:
        return {'': next(iter(found.values()))}
    return {_prefix(name): part for name, part in found.items()}


def _prefix(module_name: str) -> str:
    parts = [part for part in module_name.split('.') if 'loss' not in part]
    return ''.join(f'{part}/' for part in parts)


def _scalars(prefix: str, sums: list[list[float]], kinds, classes) -> dict[str, float]:
    scalars = {}
    for c, (count, *values) in enumerate(zip(*sums)):
        if count:
            name = as_logged(classes[c] if classes else c)
            for kind, value in zip(kinds, values):
                scalars[f'{prefix}{kind}/{name}'] = value / count
    return scalars
