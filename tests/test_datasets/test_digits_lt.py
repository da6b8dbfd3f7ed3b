"""The digits: which images, how many of each class; and their configs train and validate."""

import hashlib
import sys
from collections import Counter

import numpy as np
import pytest
import torch

pytest.importorskip('mmpretrain')
pytest.importorskip('sklearn')

import mmengine.runner.runner
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from sklearn.datasets import load_digits

import mmseg_recall  # noqa: F401
from mmseg_recall.datasets.digits_lt import DigitsLT
from mmseg_recall.datasets.long_tail import long_tail_counts
from mmseg_recall.engine.launch import build_runner
from tests.test_tools.paths import ROOT

SCOPE = 'mmpretrain'

CONFIGS = sorted((ROOT / 'configs/digits_lt').glob('*.py'))


def images_of(**kwargs):
    dataset = DigitsLT(**kwargs)
    return {dataset.get_data_info(index)['img'].tobytes() for index in range(len(dataset))}


@pytest.mark.parametrize('factor', [1, 10, 25])
def test_counts(factor):
    dataset = DATASETS.build(dict(type='mmpretrain.DigitsLT', imbalance_factor=factor))
    counts = Counter(dataset.get_gt_labels().tolist())
    assert [counts[label] for label in range(10)] == long_tail_counts(114, 10, factor)
    assert dataset.metainfo['classes'] == tuple('0123456789')


def test_the_test_split_is_the_last_60_of_each_class_and_shared_with_no_training():
    tested = DigitsLT(split='test', seed=3)
    assert Counter(tested.get_gt_labels().tolist()) == dict.fromkeys(range(10), 60)
    digits = load_digits()
    for label in range(10):
        last = digits.images[digits.target == label][-60:]
        chosen = [
            info['img']
            for info in map(tested.get_data_info, range(600))
            if info['gt_label'] == label
        ]
        np.testing.assert_array_equal(np.array(chosen), 15 * last)
    assert len(images_of(imbalance_factor=1)) == 1140  # no two alike
    assert not images_of(imbalance_factor=1) & images_of(split='test')


def test_the_seed_chooses_and_less_imbalance_adds():
    assert images_of() == images_of()
    assert images_of() != images_of(seed=1)
    assert images_of() < images_of(imbalance_factor=10)
    assert images_of(split='test') == images_of(split='test', seed=1)


@pytest.mark.parametrize(
    ('split', 'checksum'),
    [
        ('train', '0469adcac8548e46902f899e11ee63ac3512c8a660c9b072f6e8ff5a5b8b8c9a'),
        ('test', '1574d5136f7ec0f7682ea99d559c557224b2c72a244f23a89449c72890b116ac'),
    ],
)
def test_images_and_labels_stay_the_same_for_ever(split, checksum):
    dataset = DigitsLT(split=split)
    content = hashlib.sha256()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        assert info['img'].shape == (8, 8) and info['img'].dtype == np.uint8
        content.update(info['img'].tobytes() + bytes([info['gt_label']]))
    assert content.hexdigest() == checksum


def test_lazy_and_without_serialization():
    lazy = DigitsLT(lazy_init=True, serialize_data=False, indices=5)
    assert not lazy._fully_initialized
    lazy.full_init()
    assert len(lazy) == 5
    np.testing.assert_array_equal(lazy[4]['img'], DigitsLT()[4]['img'])


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(split='val'), ValueError, "split must be one of 'train', 'test', but got 'val'"),
        (dict(imbalance_factor=0.5), ValueError, 'imbalance_factor must be in .* but got 0.5'),
        (dict(seed=1.5), TypeError, 'seed must be an integer of at least 0, but got 1.5'),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        DigitsLT(**arguments)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='DigitsLT needs .* pip install scikit-learn'):
        DigitsLT()


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem.split('_')[1])
def test_config_trains_and_validates(path, tmp_path, monkeypatch):
    # It asks programs for their versions, half a second each time.
    monkeypatch.setattr(mmengine.runner.runner, 'collect_env', dict)
    config = Config.fromfile(path)
    config.merge_from_dict(
        {
            'work_dir': str(tmp_path),
            'experiment_name': f'{tmp_path.name}',
            'load_from': None,
            'train_cfg.max_epochs': 1,
            'train_cfg.val_interval': 1,
            'train_dataloader.dataset.imbalance_factor': 114,  # 221 images, one of the digit 9
            'randomness.seed': 0,
        }
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        runner = build_runner(config)
        before = {name: value.clone() for name, value in runner.model.state_dict().items()}
        runner.train()
        scores = runner.val()
    moved = {
        name
        for name, value in runner.model.state_dict().items()
        if not torch.equal(value, before.get(name, torch.empty(0)))
    }
    assert 'head.fc.weight' in moved
    assert ('backbone.features.0.weight' in moved) == ('gml' not in path.stem)
    (metric,) = runner.val_evaluator.metrics
    assert metric.class_counts.tolist() == long_tail_counts(114, 10, 114)
    assert {'top1', 'few', 'hmean_recall', 'recall/9'} <= set(scores)
