"""A re-trained classifier beside the pre-trained one, and the mean of their predictions."""

import math
import warnings

import torch
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...functional import checks
from .arguments import INIT_CFG, build_loss, head_sizes, refuse_unknown, top_k


@MODELS.register_module()
class EnsembleHead(LinearClsHead):
    r"""Train a new linear classifier, keep the pre-trained one frozen, and predict with both.

    .. math::
        p = \frac{p_{new} + p_{old}}{2}, \qquad
        p_{new} = \mathrm{softmax}(z_{new} / t_{new}), \quad
        p_{old} = \mathrm{softmax}(z_{old} / t_{old})

    The new classifier is ``fc``, the old one ``old_fc``. The checkpoint of a model with
    MMPretrain's ``LinearClsHead`` (``load_from``) goes to the old place and the new classifier
    starts anew; this head's own checkpoints load as they are. Freeze the backbone with
    ``FreezeHook``, or the old classifier no longer fits its features.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Channels of the features.
        loss (dict | nn.Module): What the new classifier is trained with;
            ``dict(type='GeometricMeanLoss', class_counts='auto')`` in the paper.
        t_new (float): Temperature of the new classifier, above 0; in predictions only.
        t_old (float): Temperature of the old classifier, above 0.
        ensemble (bool): Predict with both; otherwise with the new classifier alone, at
            temperature ``t_new``.
        topk (int | tuple[int]): The k of the top-k accuracies.
        cal_acc (bool): Log the accuracy of the new classifier in training.
        init_cfg (dict): Initialization of the new classifier.

    Raises:
        TypeError: For an argument of the wrong type or an unknown one.
        ValueError: If a size or temperature is outside its range.

    Reference:
        Du and Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning, 2023,
        Sec. 3.4, Eq. 11-13.

    Examples:
        >>> import torch
        >>> head = EnsembleHead(2, 2, loss=dict(type='CrossEntropyLoss'))
        >>> pretrained = {'fc.weight': torch.eye(2), 'fc.bias': torch.zeros(2)}
        >>> _ = head.load_state_dict(pretrained, strict=False)
        >>> _ = head.fc.requires_grad_(False).weight.zero_(), head.fc.bias.zero_()
        >>> (sample,) = head.predict((torch.tensor([[math.log(3), 0.]]),))
        >>> sample.pred_score  # the mean of (1/2, 1/2) and (3/4, 1/4)
        tensor([0.6250, 0.3750])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | nn.Module,
        t_new: float = 1.0,
        t_old: float = 1.0,
        ensemble: bool = True,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        init_cfg: dict | None = INIT_CFG,
        **unknown,
    ):
        refuse_unknown(self, unknown, 'loss, t_new, t_old, ensemble, topk, cal_acc, init_cfg')
        head_sizes(num_classes, in_channels)
        super().__init__(
            num_classes,
            in_channels,
            init_cfg=init_cfg,
            loss=build_loss('loss', loss),
            topk=top_k(topk),
            cal_acc=cal_acc,
        )
        self.t_new = checks.number('t_new', t_new, low=0, low_open=True, high_open=True)
        self.t_old = checks.number('t_old', t_old, low=0, low_open=True, high_open=True)
        self.ensemble = checks.choice('ensemble', ensemble, (True, False))
        self.old_fc = nn.Linear(in_channels, num_classes).requires_grad_(False)
        self._has_old = False

    def logits(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Both classifiers' logits, new and old, before the temperatures."""
        features = self.pre_logits(feats)
        return self.fc(features), self.old_fc(features)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Scores whose softmax is the prediction: with ``ensemble`` its logarithm."""
        if not self.ensemble:
            return self.fc(self.pre_logits(feats)) / self.t_new
        new, old = self.logits(feats)
        log_new = torch.log_softmax(new / self.t_new, dim=1)
        log_old = torch.log_softmax(old / self.t_old, dim=1)
        return torch.logaddexp(log_new, log_old) - math.log(2)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs
    ) -> dict[str, Tensor]:
        """Compute the loss of the new classifier, without temperatures."""
        if self.ensemble and self.training and not self._has_old:
            self._has_old = True  # say it once
            warnings.warn(
                'EnsembleHead trains beside an old classifier of random numbers, since no '
                'checkpoint was loaded: set load_from to the pre-trained model',
                stacklevel=2,
            )
        return self._get_loss(self.fc(self.pre_logits(feats)), data_samples, **kwargs)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        own = any(key.startswith(f'{prefix}old_fc.') for key in state_dict)
        for name, value in self.fc.state_dict().items():
            if not own and f'{prefix}fc.{name}' in state_dict:
                state_dict[f'{prefix}old_fc.{name}'] = state_dict[f'{prefix}fc.{name}']
                state_dict[f'{prefix}fc.{name}'] = value  # starts anew: it stays as it is
        self._has_old |= f'{prefix}old_fc.weight' in state_dict
        super()._load_from_state_dict(state_dict, prefix, *args)
