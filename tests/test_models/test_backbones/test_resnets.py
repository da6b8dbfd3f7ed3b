"""The backbones that MMPretrain lacks: their sizes, and what they refuse."""

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmpretrain.registry import MODELS

import mmseg_recall  # noqa: F401

SCOPE = 'mmpretrain'


def millions(module):
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize(
    ('depth', 'expected'), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_cifar_resnet_is_as_large_as_in_the_paper(depth, expected):
    backbone = MODELS.build(dict(type='mmpretrain.CIFARResNet', depth=depth))
    # He et al. 2016, Table 6, with the classifier (650 parameters), without the convolutions on
    # two shortcuts (16 x 32 + 32 x 64 weights and 2 x (32 + 64) of batch norm).
    size = millions(backbone) + 650e-6 - (16 * 32 + 32 * 64 + 2 * (32 + 64)) * 1e-6
    assert size == pytest.approx(expected, abs=0.006 if expected < 1 else 0.06)


def test_cifar_resnet_features():
    backbone = MODELS.build(dict(type='mmpretrain.CIFARResNet', depth=20, out_indices=(0, 1, 2)))
    shapes = [features.shape for features in backbone(torch.zeros(2, 3, 32, 32))]
    assert shapes == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]


@pytest.mark.parametrize('depth', [18, 33])
def test_cifar_resnet_of_another_depth(depth):
    with pytest.raises(KeyError, match=f'invalid depth {depth}'):
        MODELS.build(dict(type='mmpretrain.CIFARResNet', depth=depth))


def test_resnet10_has_one_block_a_stage():
    backbone = MODELS.build(dict(type='mmpretrain.ResNet10'))
    assert [len(getattr(backbone, f'layer{stage}')) for stage in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert backbone(torch.zeros(2, 3, 64, 64))[0].shape == (2, 512, 2, 2)
    # Ten layers have weights: the stem, two convolutions a block, and the classifier behind it.
    convolutions = [
        name
        for name, part in backbone.named_modules()
        if isinstance(part, torch.nn.Conv2d) and 'downsample' not in name
    ]
    assert len(convolutions) == 9
