"""Simple decoupled network: one loss for the features, another for the classifier."""

import torch
from mmpretrain.evaluation.metrics import Accuracy
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from .arguments import INIT_CFG, build_loss, head_sizes, refuse_unknown, top_k

# A moving average, as in the paper's classification; both of its studies have this alpha (Table 4).
FEATURE_LOSS = dict(type='RecallLoss', alpha=0.1)
CLASSIFIER_LOSS = dict(type='ClassBalancedLoss', class_counts='auto')


@MODELS.register_module()
class SDNHead(LinearClsHead):
    r"""Two linear classifiers on shared features :math:`x`; only the second one predicts.

    .. math::
        L = L_{feature}(g(x), y) + L_{classifier}(h(\mathrm{sg}[x]), y)

    with :math:`\mathrm{sg}` the identity without a gradient: the features learn from
    :math:`L_{feature}` alone, and :math:`h` learns to classify them. :math:`h` is ``fc``, as in
    MMPretrain's ``LinearClsHead``: a checkpoint loads in a model with that head as it is (the
    parameters of :math:`g`, ``feature_fc``, are left out) and predicts the same at the same cost.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Channels of the features.
        feature_loss (dict | nn.Module): What g, and through it the backbone, is trained with. The
            default is the paper's (Sec. 3.3): ``RecallLoss`` with a moving average of recall, here
            of ``alpha=0.1``; the more classes there are to an image of the batch, the smaller
            ``alpha`` has to be (the paper: 0.9 for 365 classes in batches of 128, 0.001 for 8142).
            ``dict(type='CrossEntropyLoss')`` makes it the paper's SDN (CE).
        classifier_loss (dict | nn.Module): What h is trained with: a loss that balances the
            classes, since the detached features are all h gets. With ``class_counts='auto'`` the
            config needs ``ClassCountsHook``.
        topk (int | tuple[int]): The k of the top-k accuracies.
        cal_acc (bool): Log the accuracy of h in training.
        init_cfg (dict): Initialization of both classifiers.

    Raises:
        TypeError: For an argument of the wrong type or an unknown one; at the first call, if the
            targets are soft (Mixup, CutMix).
        ValueError: If a size is smaller than 1.

    Reference:
        Recall Loss for Imbalanced Image Classification and Semantic Segmentation, Sec. 3.3 and
        3.5, Fig. 1b-c, Table 4.

    Examples:
        >>> import torch
        >>> from mmpretrain.structures import DataSample
        >>> head = SDNHead(3, 8, classifier_loss=dict(type='ClassBalancedLoss',
        ...                                           class_counts=[50, 20, 5]))
        >>> samples = [DataSample().set_gt_label(label) for label in (0, 2)]
        >>> sorted(head.loss((torch.randn(2, 8),), samples))
        ['loss_classifier', 'loss_feature']
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        feature_loss: dict | nn.Module = FEATURE_LOSS,
        classifier_loss: dict | nn.Module = CLASSIFIER_LOSS,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        init_cfg: dict | None = INIT_CFG,
        **unknown,
    ):
        refuse_unknown(self, unknown, 'feature_loss and classifier_loss, topk, cal_acc, init_cfg')
        head_sizes(num_classes, in_channels)
        super().__init__(
            num_classes,
            in_channels,
            init_cfg=init_cfg,
            loss=build_loss('classifier_loss', classifier_loss),
            topk=top_k(topk),
            cal_acc=cal_acc,
        )
        self.feature_loss_module = build_loss('feature_loss', feature_loss)
        self.feature_fc = nn.Linear(in_channels, num_classes)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs
    ) -> dict[str, Tensor]:
        """Compute both losses of a batch.

        Args:
            feats: Features of the backbone or neck; the last are used, of shape (N, in_channels).
            data_samples: The N samples with their ``gt_label``.
            **kwargs: Passed on to both losses.

        Returns:
            ``loss_feature``, ``loss_classifier``, and with ``cal_acc`` the accuracies of h.
        """
        features = self.pre_logits(feats)
        target = _labels(data_samples)
        kwargs.setdefault('avg_factor', len(target))
        scores = self.fc(features.detach())
        losses = dict(
            loss_feature=self.feature_loss_module(self.feature_fc(features), target, **kwargs),
            loss_classifier=self.loss_module(scores, target, **kwargs),
        )
        if self.cal_acc:
            accuracies = Accuracy.calculate(scores, target, topk=self.topk)
            losses.update({f'accuracy_top-{k}': a for k, a in zip(self.topk, accuracies)})
        return losses


def _labels(data_samples: list[DataSample]) -> Tensor:
    if 'gt_score' in data_samples[0]:
        score = data_samples[0].gt_score
        raise TypeError(
            'SDNHead needs integer class labels, one for each image (gt_label), but got soft '
            f'targets (gt_score) of dtype {score.dtype} and shape {tuple(score.shape)}: remove '
            'Mixup, CutMix and the like from batch_augments'
        )
    return torch.cat([sample.gt_label for sample in data_samples])
