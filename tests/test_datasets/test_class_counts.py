"""Counting: against brute force, through wrappers, and from the cache."""

import json
import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from mmseg_recall.datasets import class_counts
from mmseg_recall.datasets.class_counts import ClassCounts, cached_class_counts, count_classes
from mmseg_recall.files import InputError
from mmseg_recall.functional import read_class_counts

CLASSES = ('road', 'pole', 'sign')


class Samples(BaseDataset):
    """Classification without files."""

    METAINFO = dict(classes=CLASSES)

    def __init__(self, labels, **kwargs):
        self.labels = labels
        super().__init__(**kwargs)

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]

    def get_cat_ids(self, index):
        return [self.labels[index]]


def write_maps(root, num_images=5, labels=(0, 1, 2, 3, 255), seed=0):
    """Images and label maps of different sizes in the layout of MMSegmentation's datasets."""
    generator = np.random.default_rng(seed)
    for folder in ('img_dir', 'ann_dir'):
        (root / folder).mkdir(parents=True)
    for index in range(num_images):
        shape = generator.integers(4, 9, 2)
        # Not every label in every image.
        values = generator.choice(labels, shape) if index else np.full(shape, labels[0])
        cv2.imwrite(str(root / 'ann_dir' / f'{index}.png'), values.astype(np.uint8))
        cv2.imwrite(str(root / 'img_dir' / f'{index}.jpg'), np.zeros((*shape, 3), np.uint8))
    return root


def brute_force(root, new_label, num_classes=3):
    """Pixels and images of each class, pixel by pixel."""
    pixels, images = [0] * num_classes, [0] * num_classes
    for path in sorted((root / 'ann_dir').iterdir()):
        present = set()
        for value in cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel().tolist():
            label = new_label(value)
            if label is not None:
                pixels[label] += 1
                present.add(label)
        for label in present:
            images[label] += 1
    return pixels, images


PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=(2, 2)),
    dict(type='PackSegInputs'),
]


def files(root, **kwargs):
    return dict(
        dict(type='BaseSegDataset', metainfo=dict(classes=CLASSES), pipeline=PIPELINE),
        data_root=str(root),
        data_prefix=dict(img_path='img_dir', seg_map_path='ann_dir'),
        **kwargs,
    )


def build(config):
    pytest.importorskip('mmseg')
    # MMSegmentation builds the transforms by their names in its own scope.
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(config)


# --- segmentation -------------------------------------------------------------------------------


@pytest.mark.parametrize('num_workers', [0, 2])
def test_segmentation_equals_brute_force(tmp_path, num_workers):
    root = write_maps(tmp_path, labels=(0, 1, 2, 255))
    counts = count_classes(build(files(root)), num_workers=num_workers)
    pixels, images = brute_force(root, lambda value: None if value == 255 else value)
    assert images[0] == 5 > images[1]
    assert counts == ClassCounts(list(CLASSES), 'pixels', pixels, images, 5)


def test_reduce_zero_label(tmp_path):
    root = write_maps(tmp_path)
    counts = count_classes(build(files(root, reduce_zero_label=True)), num_workers=0)
    pixels, images = brute_force(root, lambda value: None if value in (0, 255) else value - 1)
    assert (counts.counts, counts.images) == (pixels, images)


def test_label_map(tmp_path):
    """Two of the four classes of a dataset, in another order."""
    pytest.importorskip('mmseg')
    from mmseg.datasets import BaseSegDataset

    class FourClasses(BaseSegDataset):
        METAINFO = dict(
            classes=('road', 'pole', 'sign', 'sky'), palette=[[c] * 3 for c in range(4)]
        )

    root = write_maps(tmp_path)
    config = files(root, metainfo=dict(classes=('sky', 'pole')))
    config.pop('type')
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = FourClasses(**config)
    counts = count_classes(dataset, num_workers=0)
    pixels, images = brute_force(root, {3: 0, 1: 1}.get, num_classes=2)
    assert (counts.counts, counts.images) == (pixels, images)


def test_toy_streets():
    dataset = build(
        dict(
            type='ToyStreets',
            num_images=3,
            size=(48, 32),
            pipeline=[dict(type='LoadToyStreets'), dict(type='PackSegInputs')],
        )
    )
    maps = [dataset[i]['data_samples'].gt_sem_seg.data for i in range(3)]
    expected = torch.cat([labels.flatten() for labels in maps]).long().bincount(minlength=256)
    assert count_classes(dataset, num_workers=0).counts == expected[:10].tolist()


def test_another_ignored_label(tmp_path):
    root = write_maps(tmp_path, labels=(0, 1, 2, 11))
    expected = count_classes(build(files(root, ignore_index=11)), num_workers=0)
    assert count_classes(build(files(root)), ignore_index=11, num_workers=0) == expected


def test_label_map_of_many_classes(tmp_path):
    """Label maps of 16 bits, as a transform of one's own may load them."""

    class LoadMine:
        def __call__(self, results):
            return dict(results, gt_seg_map=np.array([[300, 300], [1, 255]], np.int32))

    root = write_maps(tmp_path, num_images=2)
    dataset = build(files(root, metainfo={}, pipeline=[LoadMine()]))
    counts = count_classes(dataset, num_classes=301, num_workers=0)
    assert {label: n for label, n in enumerate(counts.counts) if n} == {1: 2, 300: 4}
    assert counts.classes[300] == '300'


def test_counting_leaves_no_trace(tmp_path):
    """Neither in the training's random numbers nor in its transforms."""
    dataset = build(files(write_maps(tmp_path, labels=(0, 1, 2, 255))))
    state = torch.get_rng_state()
    count_classes(dataset, num_workers=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert dataset.pipeline.transforms[1].reduce_zero_label is None


# --- wrappers -----------------------------------------------------------------------------------


def test_wrapped_segmentation(tmp_path):
    first, second = (
        files(write_maps(tmp_path / name, labels=(0, 1, 2, 255), seed=seed))
        for seed, name in enumerate('ab')
    )
    wrapped = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', dataset=first, times=3), second]
    )
    parts = [count_classes(build(part), num_workers=0) for part in (first, second)]
    both = count_classes(build(dict(type='RepeatDataset', dataset=wrapped, times=2)), num_workers=0)
    assert both.counts == np.sum([part.counts for part in parts], 0).tolist()
    assert both.images == np.sum([part.images for part in parts], 0).tolist()
    assert both.num_images == 10


def test_wrapped_classification():
    from mmengine.dataset import ClassBalancedDataset, RepeatDataset

    balanced = ClassBalancedDataset(Samples([0] * 8 + [1]), oversample_thr=0.9)
    assert len(balanced) > 9
    assert count_classes(balanced).counts == [8, 1, 0]
    both = dict(type='ConcatDataset', datasets=[Samples([0, 1]), Samples([1, 2, 2])])
    nested = RepeatDataset(both, times=4)
    assert count_classes(nested) == ClassCounts(
        list(CLASSES), 'samples', [1, 2, 2], [1, 2, 2], num_images=5
    )


# --- classification -----------------------------------------------------------------------------


def test_folders_of_images(tmp_path):
    pytest.importorskip('mmpretrain')
    for name, number in (('cat', 3), ('dog', 1)):
        (tmp_path / name).mkdir()
        for index in range(number):
            cv2.imwrite(str(tmp_path / name / f'{index}.png'), np.zeros((2, 2, 3), np.uint8))
    dataset = DATASETS.build(dict(type='mmpretrain.CustomDataset', data_root=str(tmp_path)))
    assert count_classes(dataset) == ClassCounts(['cat', 'dog'], 'samples', [3, 1], [3, 1], 4)


def test_cifar(tmp_path):
    """Images in the annotation list; label 255 would be a class."""
    pytest.importorskip('mmpretrain')
    from mmpretrain.datasets import CIFAR10

    class TinyCIFAR(CIFAR10):
        def load_data_list(self):
            image = np.zeros((32, 32, 3), np.uint8)
            return [dict(img=image, gt_label=label) for label in (9, 9, 0)]

    counts = count_classes(TinyCIFAR(data_root=str(tmp_path)))
    assert counts.counts == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert counts.unseen == counts.classes[1:9]


def test_label_255_is_a_class_in_classification():
    names = [str(c) for c in range(300)]
    assert count_classes(Samples([255, 299], metainfo=dict(classes=names))).counts[255] == 1


def test_several_labels():
    counts = count_classes(Samples([[0, 2], [2], []]))
    assert (counts.counts, counts.num_images) == ([1, 0, 2], 3)


# --- cache --------------------------------------------------------------------------------------


@pytest.fixture
def times_counted(monkeypatch):
    """A list that grows whenever a dataset is counted."""
    calls, count = [], class_counts.count_classes
    monkeypatch.setattr(
        class_counts, 'count_classes', lambda *args: calls.append(args) or count(*args)
    )
    return calls


def test_cached_until_an_annotation_changes(tmp_path, times_counted):
    root, folder = write_maps(tmp_path / 'data', labels=(0, 1, 2, 255)), tmp_path / 'work'

    def counts(**changes):
        return cached_class_counts(build(files(root, **changes)), folder, num_workers=0)

    first = counts()
    assert counts() == first
    assert len(times_counted) == 1

    path = root / 'ann_dir/1.png'
    cv2.imwrite(str(path), np.full((3, 3), 2, np.uint8))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    changed = counts()
    assert len(times_counted) == 2 and changed != first

    (root / 'img_dir/4.jpg').unlink()
    assert counts().num_images == 4
    assert counts(metainfo=dict(classes=(*CLASSES, 'sky'))).counts[3] == 0
    assert counts(metainfo=dict(classes=('a', 'b')), reduce_zero_label=True).classes == ['a', 'b']
    assert len(times_counted) == len(list(folder.iterdir())) == 5


@pytest.mark.parametrize('content', ['{"classes": ["road"', '{}', '[1]', '', 'other lengths'])
def test_damaged_cache_is_counted_again(tmp_path, times_counted, content):
    first = cached_class_counts(Samples([0, 1, 1]), tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    path.write_text(whole.replace('"sign"', '"sign", "sky"') if ' ' in content[:7] else content)
    with pytest.warns(UserWarning, match=f'{path.name} cannot be read: expected what Cl') as warned:
        assert cached_class_counts(Samples([0, 1, 1]), tmp_path) == first
    assert len(warned) == 1 and len(times_counted) == 2
    assert path.read_text() == whole


def test_cached_until_a_label_changes(tmp_path, times_counted):
    for labels in ([0, 1, 1], [0, 1, 1], [0, 1, 2]):
        counts = cached_class_counts(Samples(labels), tmp_path)
    assert counts.counts == [1, 1, 1]
    assert len(times_counted) == 2


def test_interrupted_counting_leaves_no_file(tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    root, folder = write_maps(tmp_path / 'data'), tmp_path / 'work'
    monkeypatch.setattr(class_counts, '_tally', killed)
    with pytest.raises(KeyboardInterrupt):
        cached_class_counts(build(files(root)), folder, num_workers=0)
    assert not folder.exists()


def test_interrupted_writing_leaves_no_file_to_read(tmp_path, monkeypatch, times_counted):
    monkeypatch.setattr(class_counts.os, 'replace', lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cached_class_counts(Samples([0]), tmp_path)
    assert not list(tmp_path.glob('*.json'))
    monkeypatch.undo()
    assert cached_class_counts(Samples([0]), tmp_path).counts == [1, 0, 0]


def test_losses_read_the_file(tmp_path):
    path = count_classes(Samples([0, 0, 1])).save(tmp_path / 'new/counts.json')
    assert read_class_counts(path).tolist() == [2, 1, 0]
    content = json.loads(path.read_text())
    assert list(content) == ['classes', 'unit', 'counts', 'images', 'num_images']


# --- errors -------------------------------------------------------------------------------------


def test_label_that_is_no_class(tmp_path):
    root = write_maps(tmp_path, labels=(0, 7, 255))
    message = r'ann_dir/1.png has the labels \[7\], but there are 3 classes and ignore_index=255'
    with pytest.raises(ValueError, match=message):
        count_classes(build(files(root)), num_workers=0)
    with pytest.raises(ValueError, match=r'sample 1 has the labels \[-1\].*ignore_index=None'):
        count_classes(Samples([0, -1]))


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('content', [b'', b'no image', None])
def test_label_map_that_cannot_be_read(tmp_path, num_workers, content):
    dataset = build(files(write_maps(tmp_path, labels=(0, 1, 2, 255))))
    path = tmp_path / 'ann_dir/3.png'
    path.write_bytes(path.read_bytes()[:50] if content is None else content)
    message = r'^\S+ann_dir/3\.png cannot be read: expected a label map, but got .*$'
    with pytest.raises(InputError, match=message):
        count_classes(dataset, num_workers=num_workers)


def test_no_class_names():
    nameless = Samples([0, 4], metainfo={})
    nameless._metainfo.clear()
    assert count_classes(nameless, num_classes=5).counts == [1, 0, 0, 0, 1]
    with pytest.raises(ValueError, match='neither its metainfo nor a head of the model says'):
        count_classes(nameless)


def test_empty_dataset():
    with pytest.raises(ValueError, match='cannot count the classes of Samples: it is empty'):
        count_classes(Samples([], serialize_data=False))


def test_pipeline_without_label_maps(tmp_path):
    dataset = build(files(write_maps(tmp_path), pipeline=[dict(type='LoadImageFromFile')]))
    with pytest.raises(ValueError, match='no transform of its pipeline whose name starts with'):
        count_classes(dataset, num_workers=0)
