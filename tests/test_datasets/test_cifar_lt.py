import hashlib
from collections import Counter

import numpy as np
import pytest

pytest.importorskip('mmpretrain')

import mmpretrain.datasets
from mmpretrain.registry import DATASETS

import mmseg_recall  # noqa: F401
from mmseg_recall.datasets.cifar_lt import CIFAR10LT, CIFAR100LT
from mmseg_recall.datasets.long_tail import long_tail_counts, long_tail_subset
from tests.test_datasets.data_files import write_cifar

SCOPE = 'mmpretrain'


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """CIFAR-10's files, of 20 images a class."""
    names = [f'data_batch_{number}' for number in range(1, 6)]
    monkeypatch.setattr(mmpretrain.datasets.CIFAR10, 'train_list', [[n, None] for n in names])
    monkeypatch.setattr(mmpretrain.datasets.CIFAR10, 'test_list', [['test_batch', None]])
    write_cifar(tmp_path / 'cifar-10-batches-py', [*names, 'test_batch'], 'labels', 10, each=4)
    return str(tmp_path)


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    """CIFAR-100's files, of 4 images a class."""
    monkeypatch.setattr(mmpretrain.datasets.CIFAR100, 'train_list', [['train', None]])
    monkeypatch.setattr(mmpretrain.datasets.CIFAR100, 'test_list', [['test', None]])
    write_cifar(tmp_path / 'cifar-100-python', ['train', 'test'], 'fine_labels', 100, each=4)
    return str(tmp_path)


def images_of(dataset):
    return {dataset.get_data_info(index)['img'].tobytes() for index in range(len(dataset))}


def test_cifar10(cifar10):
    config = dict(type='mmpretrain.CIFAR10LT', data_root=cifar10, imbalance_factor=10)
    training = DATASETS.build(config)
    counts = Counter(training.get_gt_labels().tolist())
    assert [counts[label] for label in range(10)] == [20, 15, 11, 9, 7, 5, 4, 3, 2, 2]
    assert training.metainfo['classes'][0] == 'airplane'
    assert len(DATASETS.build(dict(config, split='test'))) == 40


def test_cifar100(cifar100):
    training = CIFAR100LT(data_root=cifar100, imbalance_factor=4)
    counts = Counter(training.get_gt_labels().tolist())
    assert [counts[label] for label in (0, 1, 99)] == [4, 3, 1]
    assert len(CIFAR100LT(data_root=cifar100, split='test')) == 400
    assert len(CIFAR100LT(data_root=cifar100, imbalance_factor=1)) == 400


def test_the_seed_chooses_and_less_imbalance_adds(cifar10):
    def chosen(**kwargs):
        return images_of(CIFAR10LT(data_root=cifar10, **kwargs))

    assert chosen(imbalance_factor=10) == chosen(imbalance_factor=10)
    assert chosen(imbalance_factor=10) != chosen(imbalance_factor=10, seed=1)
    assert chosen(imbalance_factor=10) < chosen(imbalance_factor=5)


@pytest.mark.parametrize(
    ('num_images', 'num_classes', 'factor', 'total', 'last'),
    [(5000, 10, 100, 12406, 50), (5000, 10, 10, 20431, 500), (500, 100, 100, 10847, 5)],
)
def test_profile(num_images, num_classes, factor, total, last):
    counts = long_tail_counts(num_images, num_classes, factor)
    assert (counts[0], counts[-1], sum(counts)) == (num_images, last, total)
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    ('num_classes', 'checksum'),
    [
        (10, 'e1e05ffa1e637d93decaa0186364aceef3c3425f3b2af0cf12ec7c8c62369c8a'),
        (100, '82ee4efff55d0e5c845fc9869793a19315e65f4c4534baaaa0346129b729d01b'),
    ],
)
def test_the_subset_stays_the_same_for_ever(num_classes, checksum):
    subset = long_tail_subset(np.arange(50000) % num_classes, num_classes, 100, seed=0)
    assert hashlib.sha256(np.array(subset, '<i8').tobytes()).hexdigest() == checksum


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(imbalance_factor=0.01), ValueError, 'imbalance_factor must be in .* but got 0.01'),
        (dict(imbalance_factor='100'), TypeError, "imbalance_factor must be .* got '100'"),
        (dict(seed=1.5), TypeError, 'seed must be an integer of at least 0, but got 1.5'),
        (dict(seed=-1), ValueError, 'seed must be an integer of at least 0, but got -1'),
        (dict(seed=2**32), ValueError, 'seed must be in'),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        CIFAR10LT(data_root='nowhere', **arguments)
