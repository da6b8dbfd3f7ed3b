"""What the hooks share that learn by looking through one step of the classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from ...datasets.samplers import ClassAwareSampler
from ...functional import (
    checks,
    class_balanced_weights,
    meta_gradient,
    one_vs_all,
    sum_over_processes,
    summed_cross_entropy,
)
from ...losses.base import two_class_logits
from ..scalars import as_logged

#: Apart from the training's own seeds, so that a meta batch is not the batch once more.
META_SEED = 2**30

#: What heads of MMPretrain, MMSegmentation and MMDetection call the loss of their classes.
LOSSES = ('loss_module', 'loss_decode', 'loss_cls')

#: The label that does not count, where a head has none of its own.
IGNORED = -100


class MetaHook(Hook):
    """Before each iteration, one step of Adam on parameters that shape the training loss.

    A subclass says in ``key`` where the checkpoint has them and in ``scalar`` how they are logged;
    where they :meth:`start`, how they make a :meth:`weight` for each position of the training
    loss, which :meth:`logged_values` they have, and how they :meth:`apply` to the training.

    Only the classifier takes the inner step: the features before it come from a forward pass
    without gradient, as in training (batch statistics, dropout), that moves no buffer and no state
    of the random numbers. The resolution is that of the classifier's output, labels of a higher
    one are sampled down to it (nearest). MMDetection's box heads classify boxes that are sampled on
    the way to the loss: there the pass is that of the training, which draws the same boxes, up to
    the loss of the classifier.

    Args:
        meta_batch_size: Images of a meta batch, of each process. Default: the training's batch.
        lr: The Adam learning rate.
        inner_lr: The learning rate of the inner step. Default: the optimizer's present one of the
            classifier.
        classifier: Name of the last linear layer, the one whose output are the logits.
        interval: Iterations between two lines in the log.
        meta_set: Where meta batches come from: ``'train'``, the training set, as the paper says;
            ``'val'``, the data set of ``val_dataloader``.
    """

    # Behind FreezeHook, if the config has them in this order.
    priority = 'LOWEST'
    key: str
    scalar: str

    def __init__(
        self,
        meta_batch_size: int | None = None,
        lr: float = 1e-3,
        inner_lr: float | None = None,
        classifier: str = 'head.fc',
        interval: int = 50,
        meta_set: Literal['train', 'val'] = 'train',
    ):
        if meta_batch_size is not None:
            checks.integer('meta_batch_size', meta_batch_size, low=1)
        self.meta_batch_size = meta_batch_size
        self.lr = checks.number('lr', lr, low=0, low_open=True, high_open=True)
        if inner_lr is not None:
            checks.number('inner_lr', inner_lr, low=0, low_open=True, high_open=True)
        self.inner_lr = inner_lr
        if not isinstance(classifier, str):
            raise TypeError(
                f"classifier must be a module's name such as 'head.fc', but got {classifier!r}"
            )
        self.classifier = classifier
        self.interval = checks.integer('interval', interval, low=1)
        self.meta_set = checks.choice('meta_set', meta_set, ('train', 'val'))
        self._loaded: dict | None = None

    def start(self, runner) -> Tensor:
        """The parameters before any step, ``(C,)``."""
        raise NotImplementedError

    def weight(self, runner, learned: Tensor, target: Tensor) -> Tensor:
        """A weight for each position in the training loss, differentiable in the parameters."""
        raise NotImplementedError

    def apply(self, learned: Tensor) -> None:
        """Let the training have what was learned."""
        raise NotImplementedError

    def logged_values(self, learned: Tensor) -> dict[int, float]:
        """What is logged, by class."""
        raise NotImplementedError

    def before_train(self, runner) -> None:
        """Find the classifier and its loss, and take up the parameters of a resumed run."""
        self._model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._find_classifier()
        self._loss_sum = _loss_sum(self.loss, self.head)
        self._learned = self.start(runner)
        self._adam = torch.optim.Adam([self._learned], lr=self.lr)
        if runner.iter > 0 and self._loaded is not None:  # not after load_from
            self._learned.copy_(self._loaded['learned'])
            self._adam.load_state_dict(self._loaded['optimizer'])
        self._loaded = None
        self.apply(self._learned)
        self._meta_batches = iter(self._meta_loader(runner))

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Step, look at the meta batch, step back, and learn."""
        gradient, meta_ce = self.gradient(runner, data_batch, next(self._meta_batches))
        self._learned.grad = gradient.to(self._learned)
        self._adam.step()
        self.apply(self._learned)
        if self.every_n_train_iters(runner, self.interval):
            self._write(runner, meta_ce)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the parameters and Adam's state."""
        state = dict(learned=self._learned.cpu(), optimizer=self._adam.state_dict())
        checkpoint[self.key] = state

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remember them until training starts."""
        self._loaded = checkpoint.get(self.key)

    def gradient(self, runner, batch: dict, meta_batch: dict) -> tuple[Tensor, Tensor]:
        """Of the meta loss in the parameters, and the meta loss; the same in all processes."""
        features, target = self._features_and_labels(runner, batch)
        meta_features, meta_target = self._features_and_labels(runner, meta_batch)
        learned = self._learned.to(features, copy=True).requires_grad_()
        weight = self._weight(runner, learned, target)
        meta_weight = self._meta_weight(meta_target)

        def logits(parameters, features):
            output = torch.func.functional_call(self._classifier, parameters, (features,))
            return two_class_logits(output)

        gradient, meta_ce = meta_gradient(
            {name: p.detach().to(features) for name, p in self._classifier.named_parameters()},
            weight.detach(),
            lambda parameters, weight: self._loss_sum(
                logits(parameters, features), target, weight, self.ignore_index
            ),
            lambda parameters: self._meta_loss_sum(
                logits(parameters, meta_features), meta_target, meta_weight, self.ignore_index
            ),
            self._inner_lr(runner),
        )
        (gradient,) = torch.autograd.grad(weight, learned, gradient)
        return sum_over_processes(gradient), meta_ce

    def _weight(self, runner, learned: Tensor, target: Tensor) -> Tensor:
        """Of each position in the mean that is the training loss."""
        valid = target != self.ignore_index
        # Of any class where a position does not count, so that it can index.
        weight = self.weight(runner, learned, torch.where(valid, target, 0).long())
        return weight * valid / sum_over_processes(valid.sum()).clamp_min(1)

    def _meta_weight(self, target: Tensor) -> Tensor:
        """Of each position in the meta loss: images are balanced by their sampler."""
        if target.ndim > 1:
            return class_balanced_weights(target, self.num_classes, self.ignore_index)
        ones = (target != self.ignore_index).double()
        return ones / sum_over_processes(ones.sum()).clamp_min(1)

    def _meta_loss_sum(self, logits: Tensor, target: Tensor, weight: Tensor, ignore: int) -> Tensor:
        if self.of_boxes and self.loss.one_vs_all:
            counted = dict(position_weight=weight, ignore_index=ignore)
            return one_vs_all(logits, target, background=True, **counted)[0].sum()
        return summed_cross_entropy(logits, target, weight, ignore)

    def _inner_lr(self, runner) -> float:
        if self.inner_lr is not None:
            return self.inner_lr
        parameter = next(self._classifier.parameters())
        for group in runner.optim_wrapper.param_groups:
            if any(parameter is other for other in group['params']):
                return group['lr']
        raise ValueError(
            f'classifier={self.classifier!r} is not trained by the optimizer, so its learning rate '
            'is unknown: give inner_lr, or name the classifier that is trained'
        )

    @torch.no_grad()
    def _features_and_labels(self, runner, batch: dict) -> tuple[Tensor, Tensor]:
        """The classifier's input and the labels at its resolution, as the training has them."""
        seen = []
        handles = [
            self._classifier.register_forward_pre_hook(
                lambda module, inputs: seen.append(inputs[0])
            )
        ]
        of_boxes = []
        if self.of_boxes:  # which boxes, and their labels, the model finds on its way to the loss
            handles.append(self.loss.register_forward_pre_hook(_stop_at_loss(of_boxes)))
        buffers = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
        device = next(self._model.parameters()).device
        generators = [device] if device.type == 'cuda' else []
        try:
            with (
                torch.random.fork_rng(generators),
                runner.optim_wrapper.optim_context(runner.model),
            ):
                data = self._model.data_preprocessor(batch, True)
                inputs = (data['inputs'], data['data_samples'])
                mode = 'loss' if self.of_boxes else 'tensor'
                torch.func.functional_call(self._model, buffers, inputs, dict(mode=mode))
        except _LossReached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        features = seen[-1]
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        if self.of_boxes:
            # Without any box MMDetection calls no loss.
            return features, of_boxes[0] if of_boxes else features.new_zeros(0, dtype=torch.long)
        target = _labels(data['data_samples'])
        if features.shape[2:] != target.shape[1:]:
            target = F.interpolate(target[:, None].float(), features.shape[2:])[:, 0].long()
        return features, target

    def _find_classifier(self) -> None:
        names = [name for name, part in self._model.named_modules() if _is_linear(part)]
        if self.classifier not in names:
            raise ValueError(
                f'classifier={self.classifier!r} of {type(self).__name__} must name a linear '
                f'layer of the model, one of {", ".join(names[-8:])}'
            )
        self._classifier = self._model.get_submodule(self.classifier)
        self.head = self._model.get_submodule(self.classifier.rpartition('.')[0])
        losses = [getattr(self.head, name) for name in LOSSES if hasattr(self.head, name)]
        self.loss = losses[0] if losses else None
        #: Whether it is a box head's of MMDetection, with one of this package's losses.
        self.of_boxes = getattr(self.loss, 'background', False)
        outputs = next(self._classifier.parameters()).shape[0]
        self.num_classes = self.head.num_classes if self.of_boxes else max(2, outputs)
        self.ignore_index = getattr(self.head, 'ignore_index', IGNORED)

    def _meta_loader(self, runner) -> DataLoader:
        """The data of the meta set, by a sampler of its own, from the present iteration on."""
        if self.meta_set == 'val' and runner.val_loop is None:
            raise ValueError(
                "meta_set='val' needs val_dataloader, val_cfg and val_evaluator in the config"
            )
        training = runner.train_dataloader
        source = training if self.meta_set == 'train' else runner.val_loop.dataloader
        images = not hasattr(self.head, 'loss_decode')
        sampler_type = ClassAwareSampler if images else DefaultSampler
        sampler = sampler_type(source.dataset, seed=runner.seed + META_SEED)
        # Not the loader's own: None where a sampler makes the batches, as MMDetection's does.
        batch_size = self.meta_batch_size or training.batch_sampler.batch_size
        return DataLoader(
            source.dataset,
            batch_sampler=_EndlessBatches(sampler, batch_size, runner.iter),
            num_workers=source.num_workers,
            collate_fn=source.collate_fn,
            pin_memory=source.pin_memory,
            worker_init_fn=source.worker_init_fn,
        )

    def _write(self, runner, meta_ce: Tensor) -> None:
        names = runner.train_dataloader.dataset.metainfo.get('classes')
        scalars = {'meta_ce': meta_ce.item()}
        for label, value in self.logged_values(self._learned).items():
            name = as_logged(names[label] if names else label)
            scalars[f'{self.scalar}/{name}'] = value
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)


class _EndlessBatches:
    """Batches of a sampler's epochs, one after the other without a gap, from a batch on."""

    def __init__(self, sampler: Sampler, batch_size: int, start: int):
        self.sampler, self.batch_size, self.start = sampler, batch_size, start

    def __iter__(self) -> Iterator[list[int]]:
        draws = self._draws()
        for _ in range(self.start * self.batch_size % len(self.sampler)):
            next(draws)
        while True:
            yield [next(draws) for _ in range(self.batch_size)]

    def _draws(self) -> Iterator[int]:
        epoch = self.start * self.batch_size // len(self.sampler)
        while True:
            self.sampler.set_epoch(epoch)
            yield from self.sampler
            epoch += 1


class _LossReached(Exception):
    """The rest of a forward pass is of no use."""


def _stop_at_loss(found: list[Tensor]) -> Callable:
    """A hook that adds the labels with which a box head calls its loss."""

    def stop(loss, call):
        _, labels, weight = call
        found.append(torch.where(weight > 0, labels, IGNORED))
        raise _LossReached

    return stop


def _is_linear(part: nn.Module) -> bool:
    return isinstance(part, (nn.Linear, nn.Conv2d))


def _labels(samples) -> Tensor:
    """``(N)`` labels of images, ``(N, H, W)`` of pixels."""
    if 'gt_sem_seg' in samples[0]:
        return torch.cat([sample.gt_sem_seg.data for sample in samples])
    if 'gt_score' in samples[0]:
        raise TypeError(
            'meta-learning needs integer class labels, but the samples have soft labels: remove '
            'Mixup, CutMix or whatever makes them from train_cfg and the data preprocessor'
        )
    return torch.cat([sample.gt_label for sample in samples])


def _loss_sum(loss: nn.Module | None, head: nn.Module) -> Callable[..., Tensor]:
    """The weighted sum of a loss's values at the positions: (logits, target, weight, ignored)."""
    if getattr(head, 'sampler', None) is not None:
        raise ValueError('meta-learning looks at all pixels: remove sampler of the decode_head')
    if hasattr(loss, 'summed'):
        return loss.summed
    other = [name for name in ('use_sigmoid', 'use_soft', 'use_mask') if getattr(loss, name, False)]
    plain = type(loss).__name__ == 'CrossEntropyLoss' and not other
    if plain and getattr(loss, 'class_weight', None) is None:
        factor = getattr(loss, 'loss_weight', 1.0)
        return lambda *call: factor * summed_cross_entropy(*call)
    raise ValueError(
        'meta-learning needs the loss of the classifier to be a plain mean over positions '
        "(type='BalancedSoftmaxLoss', 'LDAMLoss', 'SoftmaxFocalLoss', or CrossEntropyLoss with "
        f'softmax and without class_weight), but got {loss}'
    )
