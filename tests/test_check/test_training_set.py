"""What ``mmseg-recall check`` reads from training samples."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_recall.check.training_set import (
    build_training_set,
    label_heads,
    look_at_samples,
    median_width,
)
from mmseg_recall.files import InputError

SCOPE = 'mmseg'


class Samples(list):
    """A dataset whose pipeline has run."""

    metainfo = dict(classes=('sky', 'road', 'pole'))

    def __init__(self, *label_maps):
        super().__init__(map(sample, label_maps))


def sample(label_map):
    packed = SegDataSample(metainfo=dict(seg_map_path='labels/7.png'))
    packed.gt_sem_seg = PixelData(data=torch.tensor(label_map)[None])
    return dict(data_samples=packed)


def heads(num_classes=3):
    head = nn.Module()
    head.num_classes, head.ignore_index, head.loss_decode = num_classes, 255, nn.Module()
    return dict(decode_head=head)


def test_widths_shape_and_ignored_samples():
    with_pole = [[0, 0, 0, 0, 2, 0, 0, 0], [1, 1, 1, 1, 2, 1, 255, 1]]
    samples = look_at_samples(Samples(with_pole, [[255] * 4] * 6), 3, heads())
    assert samples.widths == [4, 4, 1]
    assert samples.shape == (6, 8)
    assert (samples.number, samples.ignored) == (2, 1)


def test_a_class_in_no_sample_has_no_width():
    assert look_at_samples(Samples([[0, 0, 1]]), 3, heads()).widths == [2, 1, None]


def test_half_of_the_pixels():
    assert median_width(np.array([2, 2, 2, 6, 6])) == 6
    assert median_width(np.array([2, 2, 2, 6])) == 2


def test_a_label_that_is_no_class():
    with pytest.raises(InputError, match=r'labels/7.png has the labels \[3\], but decode_head'):
        look_at_samples(Samples([[0, 3]]), 3, heads())


def test_another_number_of_classes():
    model = nn.Module()
    model.decode_head = heads(num_classes=19)['decode_head']
    with pytest.raises(InputError, match='num_classes=19, but the training set names 3 classes'):
        label_heads(model, SimpleNamespace(metainfo=Samples.metainfo))


@pytest.mark.parametrize(
    ('loader', 'sentence'),
    [
        (None, 'must have a train_dataloader, but has none'),
        (
            dict(dataset=dict(type='BaseSegDataset', ann_file='no/list.txt', metainfo={})),
            'the training set cannot be found: .*no/list.txt',
        ),
    ],
)
def test_no_training_set(loader, sentence, tmp_path):
    cfg = Config(dict(default_scope='mmseg', train_dataloader=loader))
    with pytest.raises(InputError, match=sentence):
        build_training_set(cfg)
