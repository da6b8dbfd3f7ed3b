"""ToyStreets: the same images every time, a long tail of classes, and clear errors."""

import zlib

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')

from mmcv import imfrombytes
from mmengine import fileio
from mmengine.dataset import pseudo_collate
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from mmseg.utils import register_all_modules
from mmseg_recall_toy_streets.street_scene import CLASSES, IGNORED, draw_street
from mmseg_recall_toy_streets.toy_streets import LoadToyStreets, ToyStreets

SCOPE = 'mmseg'

register_all_modules(init_default_scope=True)

LOAD = [dict(type='LoadToyStreets')]


def test_registered_and_described():
    dataset = DATASETS.build(dict(type='ToyStreets', num_images=3, pipeline=LOAD))
    assert isinstance(dataset, BaseSegDataset)
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == CLASSES
    assert len(dataset.metainfo['palette']) == len(CLASSES)


def test_same_index_same_image():
    first, second = (ToyStreets(num_images=5, seed=3, pipeline=LOAD) for _ in range(2))
    for index in (4, 0, 4):
        np.testing.assert_array_equal(first[index]['img'], second[index]['img'])
        np.testing.assert_array_equal(first[index]['gt_seg_map'], second[index]['gt_seg_map'])


def test_streets_of_the_measured_tables_stay_as_they_are():
    """The numbers of 192x128 images in configs/toy are of these: noise came later."""
    streets = [draw_street(192, 128, np.random.default_rng((0, index))) for index in range(4)]
    images, labels = map(np.stack, zip(*streets))
    # OpenCV rounds the corners of polygons in one way until 4, in another from 5 on.
    checksums = {'4': 3935509150, '5': 3421526550}
    assert zlib.crc32(labels.tobytes()) == checksums[cv2.__version__[0]]
    assert images.mean() == pytest.approx(129.006, abs=0.01)
    assert images.std() == pytest.approx(49.758, abs=0.01)


def test_noise_changes_nothing_but_the_noise():
    clean, grainy, noisy = (
        ToyStreets(num_images=1, noise=noise, pipeline=LOAD)[0] for noise in (0, 0.3, 1)
    )
    np.testing.assert_array_equal(clean['gt_seg_map'], noisy['gt_seg_map'])
    little, much = (np.std(image['img'] - clean['img'].astype(float)) for image in (grainy, noisy))
    assert 0 < little < 0.4 * much


def test_seed_and_index_change_the_image():
    here, elsewhere = (ToyStreets(num_images=2, seed=seed, pipeline=LOAD) for seed in (0, 1))
    assert not np.array_equal(here[0]['img'], elsewhere[0]['img'])
    assert not np.array_equal(here[0]['img'], here[1]['img'])


def test_number_of_images_does_not_change_them():
    few, many = (ToyStreets(num_images=count, pipeline=LOAD) for count in (2, 2000))
    np.testing.assert_array_equal(few[1]['img'], many[1]['img'])


def test_leaves_the_global_random_state_alone():
    np.random.seed(0)
    torch.manual_seed(0)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    ToyStreets(num_images=1, pipeline=LOAD)[0]
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize('size', [(192, 128), (97, 61), (16, 16), (64, 300), (900, 90)])
def test_any_size(size):
    sample = ToyStreets(num_images=1, size=size, pipeline=LOAD)[0]
    width, height = size
    assert sample['img'].shape == (height, width, 3)
    assert sample['img'].dtype == sample['gt_seg_map'].dtype == np.uint8
    assert (
        sample['gt_seg_map'].shape == sample['img_shape'] == sample['ori_shape'] == (height, width)
    )
    assert set(np.unique(sample['gt_seg_map'])) <= {*range(len(CLASSES)), IGNORED}


def test_long_tail():
    maps = [draw_street(192, 128, np.random.default_rng((7, index)))[1] for index in range(100)]
    counts = np.array([np.bincount(labels.ravel(), minlength=256) for labels in maps])
    shares = dict(zip(CLASSES, counts[:, : len(CLASSES)].sum(0) / counts[:, :255].sum()))
    present = dict(zip(CLASSES, (counts > 0).mean(0)))
    assert shares['sky'] > 0.2 and shares['road'] > 0.2
    for name in ('pole', 'traffic sign', 'bicycle'):
        assert 0.001 < shares[name] < 0.005, name
        assert present[name] > 0.8, name
    assert 0 < counts[:, IGNORED].sum() < 0.05 * counts.sum()


def test_pipeline_and_collate():
    pipeline = [
        *LOAD,
        dict(type='RandomResize', scale=(192, 128), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(64, 64)),
        dict(type='RandomFlip', prob=1.0),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]
    dataset = ToyStreets(num_images=2, pipeline=pipeline)
    batch = pseudo_collate([dataset[0], dataset[1]])
    assert [tuple(image.shape) for image in batch['inputs']] == [(3, 64, 64)] * 2
    for sample in batch['data_samples']:
        assert sample.gt_sem_seg.data.shape == (1, 64, 64)
        assert sample.ori_shape == (128, 192)
        assert sample.flip


def test_subset_of_classes_and_of_images():
    kept = ('road', 'pole')
    part = ToyStreets(num_images=9, metainfo=dict(classes=kept), indices=[5], pipeline=LOAD)
    full = ToyStreets(num_images=9, pipeline=LOAD)[5]
    assert len(part) == 1
    labels = part[0]['gt_seg_map']
    assert set(np.unique(labels)) == {0, 1, IGNORED}
    np.testing.assert_array_equal(labels == 1, full['gt_seg_map'] == CLASSES.index('pole'))
    assert part.metainfo['palette'] == [
        ToyStreets.METAINFO['palette'][CLASSES.index(name)] for name in kept
    ]


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(num_images=0), ValueError, 'num_images must be an integer of at least 1, but got 0'),
        (
            dict(num_images=2.5),
            TypeError,
            'num_images must be an integer of at least 1, but got 2.5',
        ),
        (dict(seed=-1), ValueError, 'seed must be an integer of at least 0, but got -1'),
        (dict(seed='a'), TypeError, "seed must be an integer of at least 0, but got 'a'"),
        (dict(size=192), TypeError, r'size must be \(width, height\), but got 192'),
        (
            dict(size=(192, 128, 3)),
            TypeError,
            r'size must be \(width, height\), but got \(192, 128, 3\)',
        ),
        (
            dict(noise='low'),
            TypeError,
            r"noise must be a number in \[0, inf\), but got 'low'",
        ),
        (dict(noise=-1), ValueError, r'noise must be in \[0, inf\), but got -1'),
        (
            dict(size=(8, 128)),
            ValueError,
            'width in size must be an integer of at least 16, but got 8',
        ),
        (
            dict(size=(128, 1.5)),
            TypeError,
            'height in size must be an integer of at least 16, but got 1.5',
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ToyStreets(**arguments)


def test_image_by_its_address():
    entry = ToyStreets(num_images=9, seed=4, pipeline=LOAD)[8]
    assert entry['img_path'] == 'toystreets://192x128/1.0/4/000008.png'
    np.testing.assert_array_equal(imfrombytes(fileio.get(entry['img_path'])), entry['img'])
    with pytest.raises(TypeError, match='is an image, not text'):
        fileio.get_text(entry['img_path'])


def test_loader_of_a_foreign_path():
    with pytest.raises(ValueError, match="address of an image of ToyStreets.* but got 'a.png'"):
        LoadToyStreets()(dict(img_path='a.png'))
