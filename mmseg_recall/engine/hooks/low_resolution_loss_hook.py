"""``LowResolutionLossHook``: MMSegmentation's decode heads without full-resolution logits."""

from __future__ import annotations

import warnings

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead

from ...functional import checks
from ...models.heads.low_resolution import serve, why_not


@HOOKS.register_module()
class LowResolutionLossHook(Hook):
    """Train MMSegmentation's decode heads without upsampling their logits.

    MMSegmentation resizes the logits to the labels' resolution, copies them in every loss, and
    sorts them once more for ``acc_seg``. With this hook the losses get the logits as the head made
    them and interpolate them strip by strip; losses that read the same totals share one pass, and
    ``acc_seg`` comes from it too. Names in checkpoints and logs, values and gradients stay the
    same, up to rounding.

    It serves decode and auxiliary heads whose losses come from ``BaseDecodeHead.loss_by_feat``,
    once or for each of several outputs (DANet, EncNet, K-Net, heads of your own that call
    ``super().loss_by_feat``), and those of DDRNet and PIDNet. PointRend's point head, which
    upsamples nothing, stays as it is.

    The losses of this package take such logits, and of MMSegmentation ``CrossEntropyLoss`` (a mean
    of the softmax, or of the sigmoid of one channel), ``OhemCrossEntropy``, ``TverskyLoss``, and
    ``DiceLoss`` with ``naive_dice=True, use_sigmoid=False``. In a list with one of them any other
    loss (``LovaszLoss``, ``DiceLoss`` as it is by default) gets upsampled logits, made once. A
    pixel sampler looks at upsampled logits too, without their gradient.

    Args:
        unsupported: What a head that can't be served gets: ``'error'``, or ``'stock'`` to leave it
            as it is, with one warning.

    Raises:
        ValueError: If ``unsupported`` is something else; when training starts, for such a head, or
            a model without any decode head.

    Examples:
        >>> hook = dict(type='LowResolutionLossHook')
        >>> custom_hooks = [hook]  # in a config file
    """

    def __init__(self, unsupported: str = 'error'):
        self.unsupported = checks.choice('unsupported', unsupported, ('error', 'stock'))

    def before_train(self, runner) -> None:
        """Change how the heads compute their losses."""
        heads = {
            name: part
            for name, part in runner.model.named_modules()
            if isinstance(part, BaseDecodeHead)
        }
        if not heads:
            raise ValueError(
                'LowResolutionLossHook found no decode head of MMSegmentation in the model: remove '
                'the hook'
            )
        for name, head in heads.items():
            reason = why_not(head)
            if not reason:
                serve(head)
            elif self.unsupported == 'stock':
                warnings.warn(f'{name} upsamples its logits as before: {reason}', stacklevel=2)
            else:
                raise ValueError(
                    f'LowResolutionLossHook cannot serve {name}: {reason}. To leave such heads as '
                    "they are: unsupported='stock'"
                )
