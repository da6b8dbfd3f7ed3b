"""RecallLoss in MMPretrain's heads, as a config says it."""

import pytest
import torch

pytest.importorskip('mmpretrain')

import mmpretrain.models  # noqa: F401
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import mmseg_recall  # noqa: F401
from mmseg_recall.losses import LOSSES
from tests.tiny_images import CLASSES, build_runner

SCOPE = 'mmpretrain'


def head(loss):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(type='LinearClsHead', num_classes=4, in_channels=3, loss=loss))


def test_in_the_registry():
    for loss in LOSSES:
        assert MODELS.get(loss.__name__) is loss


def test_in_a_linear_head():
    recall = head(dict(type='RecallLoss', alpha=0.9))
    samples = [DataSample().set_gt_label(label) for label in (0, 3)]
    losses = recall.loss((torch.randn(2, 3),), samples)
    losses['loss'].backward()
    assert losses['loss'] > 0 and recall.fc.weight.grad.abs().sum() > 0


SOFT = [
    dict(type='BalancedSoftmaxLoss', class_counts=CLASSES),
    dict(type='BalancedSoftmaxLoss', class_counts=CLASSES, base='sigmoid'),
    dict(type='LDAMLoss', class_counts=CLASSES, scale=2.0),
    dict(type='SoftmaxFocalLoss'),
]


@pytest.mark.parametrize('loss', SOFT, ids=lambda loss: '-'.join(map(str, loss.values())))
@pytest.mark.parametrize('augment', ['Mixup', 'CutMix'])
def test_trains_with_mixed_images(tmp_path, loss, augment):
    """Every loss is that of the two labels, each by its share of the image."""
    augments = [dict(type=augment, alpha=0.2)]
    runner = build_runner(
        tmp_path,
        dict(type='LinearClsHead', loss=loss),
        **{'model.train_cfg': dict(augments=augments), 'val_cfg': None},
        val_dataloader=None,
        val_evaluator=None,
    )
    module, calls = runner.model.head.loss_module, []
    module.register_forward_hook(lambda _, given, value: calls.append((*given, value)))
    runner.train()
    assert len(calls) == 3 and any((scores > 0).sum(1).max() > 1 for _, scores, _ in calls)
    for logits, scores, value in list(calls):
        losses = [
            module(logits, torch.full((len(logits),), c), reduction_override='none')
            for c in range(len(CLASSES))
        ]
        expected = (torch.stack(losses, 1) * scores).sum(1).mean()
        torch.testing.assert_close(value, expected)


def test_mixup_is_refused():
    samples = [DataSample().set_gt_label(0).set_gt_score(torch.tensor([0.5, 0.5, 0, 0]))]
    with pytest.raises(TypeError, match='soft targets'):
        head(dict(type='RecallLoss')).loss((torch.randn(1, 3),), samples)
