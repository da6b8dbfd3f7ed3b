import time
from collections import Counter

import pytest

pytest.importorskip('mmpretrain')

from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler, RepeatDataset
from mmpretrain.registry import DATA_SAMPLERS

import mmseg_recall  # noqa: F401
from mmseg_recall.datasets.samplers import class_aware_sampler
from mmseg_recall.datasets.samplers.class_aware_sampler import ClassAwareSampler

SCOPE = 'mmpretrain'

#: 60, 30, 9 and 1 images; nothing of class 2.
LABELS = [0] * 60 + [1] * 30 + [3] * 9 + [4]


class Labelled(BaseDataset):
    def __init__(self, labels=LABELS):
        self.labels = labels
        super().__init__(serialize_data=bool(labels))

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]


def classes_drawn(sampler):
    return Counter(LABELS[index] for index in sampler)


def in_process(monkeypatch, rank, world_size):
    monkeypatch.setattr(class_aware_sampler, 'get_dist_info', lambda: (rank, world_size))
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world_size))


def test_classes_are_equally_frequent_and_images_take_turns():
    config = dict(type='ClassAwareSampler', seed=3)
    sampler = DATA_SAMPLERS.build(config, default_args=dict(dataset=Labelled()))
    assert len(sampler) == 100
    assert classes_drawn(sampler) == {0: 25, 1: 25, 3: 25, 4: 25}
    images = Counter(sampler)
    assert {images[index] for index in range(90, 99)} == {2, 3}
    assert {images[index] for index in range(60)} == {0, 1}


def test_many_epochs_show_every_image_with_its_probability():
    sampler = ClassAwareSampler(Labelled(), seed=0)
    seen = Counter()
    for epoch in range(200):
        sampler.set_epoch(epoch)
        seen.update(sampler)
    for index, label in enumerate(LABELS):
        expected = 200 * 25 / LABELS.count(label)
        assert abs(seen[index] - expected) < 5 * expected**0.5


def test_an_epoch_depends_on_seed_and_epoch_alone():
    sampler, again = (ClassAwareSampler(Labelled(), seed=7) for _ in range(2))
    first = list(sampler)
    assert first == list(sampler) == list(again)
    sampler.set_epoch(5)
    fifth = list(sampler)
    assert fifth != first
    again.set_epoch(5)  # as a resumed training does
    assert list(again) == fifth
    assert list(ClassAwareSampler(Labelled(), seed=8)) != first


def test_an_order_without_pattern():
    drawn = [LABELS[index] for index in ClassAwareSampler(Labelled(), seed=0)]
    rounds = [tuple(drawn[start : start + 4]) for start in range(0, 100, 4)]
    assert all(sorted(order) == [0, 1, 3, 4] for order in rounds) and len(set(rounds)) > 10


@pytest.mark.parametrize('round_up', [True, False])
@pytest.mark.parametrize('world_size', [1, 3, 8])
def test_processes_share_an_epoch(monkeypatch, round_up, world_size):
    parts = []
    for rank in range(world_size):
        in_process(monkeypatch, rank, world_size)
        sampler = ClassAwareSampler(Labelled(), seed=1, round_up=round_up)
        default = DefaultSampler(Labelled(), seed=1, round_up=round_up)
        assert len(sampler) == len(default) == len(list(sampler)) == len(list(default))
        parts.append(list(sampler))
    classes = Counter(LABELS[index] for part in parts for index in part)
    assert max(classes.values()) - min(classes.values()) <= 1
    if not round_up or world_size == 1:
        in_process(monkeypatch, 0, 1)
        whole = list(ClassAwareSampler(Labelled(), seed=1))
        assert [whole[rank::world_size] for rank in range(world_size)] == parts


def test_more_processes_than_images(monkeypatch):
    in_process(monkeypatch, 2, 4)
    sampler = ClassAwareSampler(Labelled([0, 0, 1]), seed=1)
    assert len(sampler) == 1 and set(sampler) <= {0, 1, 2}


def test_a_seed_that_nobody_gave_is_shared(monkeypatch):
    monkeypatch.setattr(class_aware_sampler, 'sync_random_seed', lambda: 11)
    assert ClassAwareSampler(Labelled()).seed == 11


def test_wrapped_datasets():
    repeated = ClassAwareSampler(RepeatDataset(Labelled([0, 0, 1]), 2), seed=0)
    assert [images.tolist() for images in repeated.images] == [[0, 1, 3, 4], [2, 5]]
    joined = ClassAwareSampler(ConcatDataset([Labelled([0, 0, 1]), Labelled([1])]), seed=0)
    assert [images.tolist() for images in joined.images] == [[0, 1], [2, 3]]


def test_images_of_several_labels_are_in_each_class():
    sampler = ClassAwareSampler(Labelled([[0, 1], [1], [0]]), seed=0)
    assert [images.tolist() for images in sampler.images] == [[0, 2], [0, 1]]


def test_as_many_classes_as_inaturalist_has():
    labels = [min(index % 8142, index // 5) for index in range(60000)]
    sampler = ClassAwareSampler(Labelled(labels), seed=0)
    start = time.perf_counter()
    assert len(list(sampler)) == 60000
    assert time.perf_counter() - start < 20  # far more than it takes: no loop over pairs


class Unlabelled(BaseDataset):
    def load_data_list(self):
        return [dict(img_path='a.png')]


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(dataset=[1, 2]), TypeError, 'dataset must have get_data_info.* but got list'),
        (dict(dataset=Labelled([])), ValueError, 'dataset must have images, but Labelled is empty'),
        (dict(dataset=Unlabelled()), TypeError, r"gt_label for every image.*'img_path'"),
        (dict(dataset=Labelled(), seed=0.5), TypeError, 'seed must be an integer'),
        (dict(dataset=Labelled(), seed=-1), ValueError, 'seed must be an integer of at least 0'),
        (dict(dataset=Labelled(), round_up=3), ValueError, 'round_up must be one of True, False'),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        ClassAwareSampler(**arguments)
