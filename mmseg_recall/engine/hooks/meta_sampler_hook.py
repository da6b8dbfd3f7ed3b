"""The training of :class:`.MetaSampler`'s class sample rates."""

from __future__ import annotations

from typing import Literal

import torch
from mmengine.dist import get_rank
from mmengine.registry import HOOKS
from torch import Tensor

from ...functional import checks, gumbel_given_class, straight_through_weights
from .meta_hook import MetaHook

#: Apart from the seeds of the sampler's draws, which the noise must not follow.
NOISE_SEED = 2**31


@HOOKS.register_module()
class MetaSamplerHook(MetaHook):
    r"""Learn the class sample rates that a class-balanced batch asks for.

    Before each iteration, with the batch :math:`(x_n, y_n)` that :class:`.MetaSampler` drew, f the
    features before the classifier :math:`\theta` and :math:`\hat l` the training loss:

    .. math::
        \tilde\theta = \theta - \eta \nabla_\theta \frac{1}{N} \sum_n s_n(\psi)\,
        \hat l(\theta; f(x_n), y_n), \qquad
        \psi \leftarrow \psi - \mathrm{Adam}\!\left(\nabla_\psi
        \frac{1}{M} \sum_m -\log \mathrm{softmax}(\tilde\theta f(x_m))_{y_m}\right)

    :math:`s_n` is 1 with the gradient of the draw's Gumbel-softmax over classes. Its noise is drawn
    here, given the class that came, so that the sampler may draw in advance; memory grows with the
    batch times the classes, never with the images. The meta batch m is a class-balanced one
    (:class:`.ClassAwareSampler`). The training step on the same batch follows as usual.

    The authors' released code differs from the paper, which is followed here. There a class is
    drawn in proportion to :math:`n_c\, \mathrm{sigmoid}(\psi_c)`; the inner step is one of the
    training's optimizer, with its momentum and weight decay, where here it is a plain step of
    gradient descent; and the meta set of Places-LT and ImageNet-LT is the validation set
    (``meta_set='val'``), that of CIFAR-LT the training set.

    An iteration costs two more forward passes without gradient, and on a GPU the host waits for
    the new rates. Rates and Adam's state are in the checkpoints. A resumed training goes on as the
    uninterrupted one with ``num_workers=0``; with workers the batches that were fetched in advance
    are drawn again, by the newer rates. ``meta_rate/<class>`` and ``meta_ce``, the meta loss, are
    logged. In a config the hook comes behind ``FreezeHook``, so that it sees what is frozen.

    Args:
        meta_batch_size: Images of a meta batch, of each process. Default: the training's batch.
        lr: The Adam learning rate.
        inner_lr: :math:`\eta`. Default: the optimizer's present learning rate of the classifier.
        classifier: Name of the last linear layer, whose output are the logits.
        temperature: The temperature of the Gumbel-softmax, above 0.
        interval: Iterations between two lines in the log.
        meta_set: Where meta batches come from: ``'train'``, the training set, as the paper says;
            ``'val'``, the data set of ``val_dataloader``.

    Raises:
        TypeError: For an argument of the wrong type; in training, for soft labels.
        ValueError: For an argument outside its range; when training starts, if the sampler is
            another one, no layer has the classifier's name, its loss is not a mean over positions
            (``BalancedSoftmaxLoss``, ``LDAMLoss``, ``SoftmaxFocalLoss`` and cross entropy are),
            the optimizer does not train it and there is no ``inner_lr``, or ``meta_set='val'``
            without validation data.

    Reference:
        Balanced Meta-Softmax for Long-Tailed Visual Recognition, Sec. 3.2.

    Examples:
        >>> train_dataloader = dict(sampler=dict(type='MetaSampler'))  # in a config file
        >>> custom_hooks = [
        ...     dict(type='ClassCountsHook'),
        ...     dict(type='FreezeHook', prefixes='backbone'),
        ...     dict(type='MetaSamplerHook', meta_batch_size=512),
        ... ]
    """

    key = 'meta_sampler'
    scalar = 'meta_rate'

    def __init__(
        self,
        meta_batch_size: int | None = None,
        lr: float = 1e-3,
        inner_lr: float | None = None,
        classifier: str = 'head.fc',
        temperature: float = 1.0,
        interval: int = 50,
        meta_set: Literal['train', 'val'] = 'train',
    ):
        super().__init__(meta_batch_size, lr, inner_lr, classifier, interval, meta_set)
        self.temperature = checks.number(
            'temperature', temperature, low=0, low_open=True, high_open=True
        )

    def start(self, runner) -> Tensor:
        if self.of_boxes:
            raise ValueError(
                f'MetaSamplerHook is for classes of images, but {self.classifier} classifies boxes '
                'and an image has several: use MetaReweighter'
            )
        self._sampler = runner.train_dataloader.sampler
        if not hasattr(self._sampler, 'set_log_rates'):
            raise ValueError(
                "MetaSamplerHook needs train_dataloader.sampler=dict(type='MetaSampler'), but got "
                f'{type(self._sampler).__name__}'
            )
        return self._sampler.log_rates.clone()

    def weight(self, runner, learned: Tensor, target: Tensor) -> Tensor:
        log_rates = learned.log_softmax(0)
        drawn = torch.searchsorted(self._sampler.classes.to(target.device), target)
        # Follows from the iteration, so that a resumed run has the same noise.
        noise = torch.Generator(target.device)
        noise.manual_seed(self._sampler.seed + NOISE_SEED + runner.iter)
        # As one process would draw it: that of the processes before is passed over. At once, since
        # older PyTorch starts anew with each call.
        every = drawn.repeat(get_rank() + 1)
        perturbed = gumbel_given_class(log_rates, every, noise)[-len(drawn) :]
        return straight_through_weights(log_rates, drawn, perturbed, self.temperature)

    def apply(self, learned: Tensor) -> None:
        self._sampler.set_log_rates(learned)

    def logged_values(self, learned: Tensor) -> dict[int, float]:
        rates = learned.softmax(0).tolist()
        return dict(zip(self._sampler.classes.tolist(), rates))
