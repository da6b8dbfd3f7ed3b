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


def test_mixup_is_refused():
    samples = [DataSample().set_gt_label(0).set_gt_score(torch.tensor([0.5, 0.5, 0, 0]))]
    with pytest.raises(TypeError, match='soft targets'):
        head(dict(type='RecallLoss')).loss((torch.randn(1, 3),), samples)
