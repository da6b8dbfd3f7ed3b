"""``MetaReweighter``: class weights of the loss, learned by looking through one step."""

from __future__ import annotations

import torch
from mmengine.registry import HOOKS
from torch import Tensor

from .deferred_reweighting_hook import DeferredReweightingHook
from .meta_hook import MetaHook


@HOOKS.register_module()
class MetaReweighter(MetaHook):
    r"""Learn the class weights of the loss that a class-balanced batch asks for.

    What :class:`.MetaSamplerHook` does for sample rates, where images hold several classes:

    .. math::
        w = C\, \mathrm{softmax}(\psi), \qquad
        \tilde\theta = \theta - \eta \nabla_\theta
        \frac{1}{N} \sum_n w_{y_n}(\psi)\, \hat l(\theta; f_n, y_n), \qquad
        \psi \leftarrow \psi - \mathrm{Adam}(\nabla_\psi L_{meta}(\tilde\theta))

    The paper leaves the form of the weights open; here they are positive, 1 in the beginning, and 1
    on average over the classes, since a common factor is the learning rate's business. The training
    step that follows has them too. (In the authors' released code for instance segmentation they
    are sigmoids, 1/2 in the beginning, divided by their mean over the batch's foreground boxes:
    the weights of a batch are 1 on average there, and those of a rare class depend on what else is
    in it.) n are images, pixels, or the boxes that MMDetection samples for its box head, where
    background has the weight 1. :math:`L_{meta}` is cross entropy: for images, of a class-balanced
    batch; for pixels, where no batch is balanced, of another random batch with each class present
    weighing the same; for boxes, of all those sampled in images that are drawn by their classes
    (:class:`.ClassAwareSampler`), as in the released code. Of a loss with ``base='sigmoid'`` in a
    box head it is the sum of the C binary cross entropies.

    Memory, cost, checkpoints and resuming are as with :class:`.MetaSamplerHook`, without its wait
    for the device; for segmentation the inner step is at the resolution of the classifier's output.
    ``meta_weight/<class>`` and ``meta_ce`` are logged. In a config the hook comes behind
    ``FreezeHook``.

    Args:
        meta_batch_size: Images of a meta batch, of each process. Default: the training's batch.
        lr: The Adam learning rate.
        inner_lr: :math:`\eta`. Default: the optimizer's present learning rate of the classifier.
        classifier: Name of the last linear layer, whose output are the logits;
            ``'decode_head.conv_seg'`` in MMSegmentation, ``'roi_head.bbox_head.fc_cls'`` in
            MMDetection.
        interval: Iterations between two lines in the log.
        meta_set: Where meta batches come from, ``'train'`` or ``'val'``: see
            :class:`.MetaSamplerHook`.

    Raises:
        TypeError: For an argument of the wrong type; in training, for soft labels.
        ValueError: For an argument outside its range; when training starts, if no layer has the
            classifier's name, its loss takes no class weights (``BalancedSoftmaxLoss``,
            ``LDAMLoss`` and ``SoftmaxFocalLoss`` do), a ``DeferredReweightingHook`` sets these
            too, the optimizer does not train it and there is no ``inner_lr``, or
            ``meta_set='val'`` without validation data.

    Reference:
        Balanced Meta-Softmax for Long-Tailed Visual Recognition, Sec. 4.3 and 4.4.

    Examples:
        >>> hook = dict(type='MetaReweighter', classifier='decode_head.conv_seg')
        >>> custom_hooks = [dict(type='ClassCountsHook'), hook]  # in a config file
    """

    key = 'meta_reweighter'
    scalar = 'meta_weight'

    def start(self, runner) -> Tensor:
        if not hasattr(self.loss, 'set_class_weight'):
            raise ValueError(
                f'MetaReweighter needs a loss of {self.classifier} that takes class weights (such '
                "as type='BalancedSoftmaxLoss', with tau=0 plain cross entropy), but got "
                f'{self.loss}'
            )
        if any(isinstance(hook, DeferredReweightingHook) for hook in runner.hooks):
            raise ValueError(
                'MetaReweighter and DeferredReweightingHook both set the class weights of the '
                'loss: keep one of them in custom_hooks'
            )
        device = next(self._classifier.parameters()).device
        return torch.zeros(self.num_classes, device=device)

    def gradient(self, runner, batch: dict, meta_batch: dict) -> tuple[Tensor, Tensor]:
        self.loss.set_class_weight(None)  # the weights of before would come on top
        return super().gradient(runner, batch, meta_batch)

    def weight(self, runner, learned: Tensor, target: Tensor) -> Tensor:
        return self.loss.with_background(_weights(learned), 1)[target]

    def apply(self, learned: Tensor) -> None:
        self.loss.set_class_weight(_weights(learned), normalize=False)  # 1 on average already

    def logged_values(self, learned: Tensor) -> dict[int, float]:
        return dict(enumerate(_weights(learned).tolist()))


def _weights(learned: Tensor) -> Tensor:
    return len(learned) * learned.softmax(0)
