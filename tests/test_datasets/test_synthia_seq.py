"""SynthiaSeq: classes, colours, and pairs from the converter's lists."""

import numpy as np
import pytest

pytest.importorskip('mmseg')

import cv2
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

import mmseg_recall  # noqa: F401

SCOPE = 'mmseg'


@pytest.fixture
def ready(tmp_path):
    """Two frames as the converter leaves them."""
    for frame in ('Stereo_Left/Omni_F/000000', 'Stereo_Right/Omni_B/000786'):
        for folder, image in (
            ('img_dir', np.full((4, 6, 3), 7, np.uint8)),
            ('ann_dir', np.resize([*range(13), 255], (4, 6)).astype(np.uint8)),
        ):
            path = tmp_path / folder / f'{frame}.png'
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), image)
    (tmp_path / 'random').mkdir()
    (tmp_path / 'random/train.txt').write_text('Stereo_Right/Omni_B/000786\n')
    return tmp_path


def build(root, **kwargs):
    config = dict(
        type='SynthiaSeq',
        data_root=str(root),
        ann_file='random/train.txt',
        data_prefix=dict(img_path='img_dir', seg_map_path='ann_dir'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build({**config, **kwargs})


def test_pairs_of_a_list(ready):
    dataset = build(ready)
    assert isinstance(dataset, BaseSegDataset) and len(dataset) == 1
    entry = dataset[0]
    assert entry['img_path'] == str(ready / 'img_dir/Stereo_Right/Omni_B/000786.png')
    assert entry['seg_map_path'] == str(ready / 'ann_dir/Stereo_Right/Omni_B/000786.png')
    assert np.unique(entry['gt_seg_map']).tolist() == [*range(13), 255]


def test_classes_and_colours(ready):
    info = build(ready).metainfo
    assert len(info['classes']) == len(info['palette']) == 13
    assert 'void' not in info['classes']
    # Of the data set's own colour table (its GT/COLOR images).
    colours = dict(zip(info['classes'], map(tuple, info['palette'])))
    assert colours['sky'] == (128, 128, 128) and colours['road'] == (128, 64, 128)
    assert colours['bicycle'] == (0, 128, 192) and colours['lane marking'] == (0, 172, 0)
    assert len(set(colours.values())) == 13


def test_subset_of_classes(ready):
    kept = build(ready, metainfo=dict(classes=('road', 'traffic light')))[0]['gt_seg_map']
    full = build(ready)[0]['gt_seg_map']
    assert np.unique(kept).tolist() == [0, 1, 255]
    np.testing.assert_array_equal(kept == 1, full == 12)


def test_missing_list(ready):
    with pytest.raises(AssertionError, match=r'random/val\.txt'):
        build(ready, ann_file='random/val.txt')
