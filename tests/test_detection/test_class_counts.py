"""Counts of COCO and LVIS annotations, and what is said of bad ones."""

import json
import runpy
import sys

import pytest

pytest.importorskip('mmdet', reason='MMDetection is not installed: make test-detection')

from mmdet.registry import DATASETS
from mmengine.config import Config

from mmseg_recall.check.training_set import build_training_set
from mmseg_recall.datasets import ClassCounts, cached_class_counts, count_classes
from mmseg_recall.datasets.samplers import ClassAwareSampler
from mmseg_recall.files import InputError
from tests.test_detection.tiny_detector import NAMES, annotations, dataset_config, write_data
from tests.test_tools.paths import TOOLS

SCOPE = 'mmdet'
KINDS = ('CocoDataset', 'LVISV05Dataset', 'LVISV1Dataset')


def build(folder, content=None, kind='LVISV05Dataset', **arguments):
    write_data(folder, content)
    return DATASETS.build(dataset_config(folder, kind, **arguments))


@pytest.mark.parametrize('kind', KINDS)
def test_instances_and_images(tmp_path, kind):
    counts = count_classes(build(tmp_path, kind=kind))
    assert counts == ClassCounts([*NAMES], 'instances', [7, 3, 1], [4, 3, 1], 5)
    assert counts.numbers('occurrences') == [7, 3, 1]
    assert counts.numbers('images') == [4, 3, 1]


def test_what_does_not_count(tmp_path):
    """As it is not trained on: a crowd, an ignored, an empty and an outside box, small images."""
    content = annotations()
    for name, change in zip(
        (0, 2, 3, 4), (dict(iscrowd=1), dict(ignore=True), dict(bbox=[0, 0, 0, 9]), dict(area=0))
    ):
        content['annotations'][name].update(change)
    content['images'][4]['width'] = 8
    dataset = build(tmp_path, content, filter_cfg=dict(filter_empty_gt=True, min_size=16))
    counts = count_classes(dataset)
    assert (counts.counts, counts.images, counts.num_images) == ([3, 2, 0], [3, 2, 0], 4)
    assert counts.unseen == ['bait']


def test_wrapped_datasets(tmp_path):
    """A wrapper that repeats images has the counts of its dataset; those of several are summed."""
    inner = build(tmp_path)
    for kind in (dict(type='ClassBalancedDataset', oversample_thr=0.5), dict(type='RepeatDataset')):
        arguments = dict(times=2) if kind['type'] == 'RepeatDataset' else {}
        wrapped = DATASETS.build(dict(kind, dataset=inner, **arguments))
        assert count_classes(wrapped).counts == [7, 3, 1]
    both = DATASETS.build(dict(type='ConcatDataset', datasets=[inner, inner]))
    assert count_classes(both).counts == [14, 6, 2]


def test_cache(tmp_path):
    """Counted again where the boxes that train have changed."""
    dataset = build(tmp_path)
    assert cached_class_counts(dataset, tmp_path).counts == [7, 3, 1]
    (cached,) = tmp_path.glob('class_counts_*.json')
    cached.write_text(json.dumps(dict(json.loads(cached.read_text()), counts=[9, 9, 9])))
    assert cached_class_counts(dataset, tmp_path).counts == [9, 9, 9]
    less = build_again(tmp_path, annotations([(0, 1, 2)]))
    assert cached_class_counts(less, tmp_path).counts == [1, 1, 1]


def build_again(folder, content):
    (folder / 'train.json').write_text(json.dumps(content))
    return DATASETS.build(dataset_config(folder))


def test_classes_are_drawn_alike(tmp_path):
    """By the images they are in; MetaReweighter draws its images so."""
    sampler = ClassAwareSampler(build(tmp_path), seed=0)
    drawn = []
    for epoch in range(120):
        sampler.set_epoch(epoch)
        drawn += list(sampler)
    # Image 4 is the only one of a bait, and one of three of a fork: 200 draws each.
    assert drawn.count(4) == pytest.approx(200 + 200 / 3, abs=30)


BAD = {
    'a category that is not listed': (
        dict(category_id=99),
        r'annotation 2 has the category_id 99, which is none of its categories',
    ),
    'an image that is not listed': (dict(image_id=None), 'annotation 2 has the image_id None'),
    'no box': (dict(bbox=None), r'annotation 2 must have a bbox of four numbers.* but has None'),
    'half a box': (dict(bbox=[1, 2]), r'must have a bbox .* but has \[1, 2\]'),
    'no area': (dict(area=None), 'must have a number as its area, but has None'),
    'a box that is nowhere': (dict(bbox=[0, 0, float('nan'), 1]), 'must have a bbox of four'),
}


def bad_content(change):
    content = annotations()
    content['annotations'][1].update(change)
    content['annotations'][1] = {
        key: value for key, value in content['annotations'][1].items() if value is not None
    }
    return content


@pytest.mark.parametrize('name', BAD)
def test_bad_annotations(tmp_path, name):
    """Which MMDetection leaves out without a word, or ends at with a KeyError."""
    change, message = BAD[name]
    write_data(tmp_path, bad_content(change))
    cfg = Config(
        dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset_config(tmp_path)))
    )
    with pytest.raises(InputError, match=message) as error:
        count_classes(build_training_set(cfg))
    assert 'train.json' in str(error.value)


@pytest.mark.parametrize('kind', KINDS)
def test_classes_that_the_file_does_not_have(tmp_path, kind):
    dataset = build(tmp_path, kind=kind, metainfo=dict(classes=('cup', 'fork', 'lure', 'bait')))
    message = r'train.json has 3 categories for the 4 classes cup, fork, lure, bait'
    with pytest.raises(InputError, match=message):
        count_classes(dataset)


def test_tool(tmp_path, monkeypatch, capsys):
    """The file of images in place of instances, and the sentence without a traceback."""
    write_data(tmp_path)
    config = tmp_path / 'config.py'
    config.write_text(
        "default_scope = 'mmdet'\nmodel = dict(roi_head=dict(bbox_head=dict(num_classes=3)))\n"
        f'train_dataloader = dict(dataset={dataset_config(tmp_path)!r})\n'
    )
    output = tmp_path / 'counts.json'
    tool = str(TOOLS / 'analysis_tools/class_counts.py')
    arguments = [tool, str(config), '--count', 'images', '--output', str(output)]
    monkeypatch.setattr(sys, 'argv', arguments)
    runpy.run_path(tool, run_name='__main__')
    assert 'instances' in capsys.readouterr().out
    assert json.loads(output.read_text())['counts'] == [4, 3, 1]
    (tmp_path / 'train.json').write_text(json.dumps(bad_content(dict(bbox=None))))
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(tool, run_name='__main__')
    said = f'{exit.value} {capsys.readouterr()}'
    assert 'annotation 2 must have a bbox' in said and 'Traceback' not in said
