"""The datasets that are lists: PlacesLT, ImageNetLT, INaturalist2017 and INaturalist2018."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('mmpretrain')

import mmpretrain.datasets  # noqa: F401
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

import mmseg_recall  # noqa: F401
from mmseg_recall.datasets.imagenet_lt import ImageNetLT
from mmseg_recall.datasets.inaturalist2017 import INaturalist2017
from mmseg_recall.datasets.inaturalist2018 import INaturalist2018
from mmseg_recall.datasets.places_lt import PlacesLT

SCOPE = 'mmpretrain'

LISTS = Path(__file__).parents[3] / 'shared/data/long_tail_lists'
PLACES = ['train/airfield/1.jpg 0', 'train/airport_terminal/a b.jpg 2', 'train/airfield/2.jpg 0']
SPECIES = dict(
    info=dict(year=2018),
    images=[
        dict(id=7, file_name='train_val2018/Aves/3/b.jpg', width=8, height=6, license=0),
        dict(id=5, file_name='train_val2018/Plantae/8141/a.jpg', width=8, height=6, license=0),
    ],
    annotations=[
        dict(id=0, image_id=5, category_id=8141),
        dict(id=1, image_id=7, category_id=3),
    ],
    categories=[
        dict(id=3, name='Turdus merula', supercategory='Aves'),
        dict(id=8141, name='Quercus robur', supercategory='Plantae'),
    ],
)


def write(folder, lines, name='list.txt'):
    (folder / name).write_text('\n'.join(lines) + '\n')
    return name


def entries(dataset):
    return [(info['img_path'], info['gt_label']) for info in map(dataset.get_data_info, (0, 1))]


def test_places(tmp_path):
    places = PlacesLT(write(tmp_path, PLACES), data_root=str(tmp_path), data_prefix='images')
    assert len(places) == 3
    assert entries(places) == [
        (f'{tmp_path}/images/train/airfield/1.jpg', 0),
        (f'{tmp_path}/images/train/airport_terminal/a b.jpg', 2),
    ]
    classes = places.metainfo['classes']
    assert len(classes) == 365 and classes[:3] == ('airfield', '1', 'airport_terminal')


def test_images_are_loaded_by_a_config(tmp_path):
    (tmp_path / 'train/airfield').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'train/airfield/1.jpg'), np.zeros((6, 8, 3), np.uint8))
    config = dict(
        type='PlacesLT',
        ann_file=write(tmp_path, PLACES[:1]),
        data_root=str(tmp_path),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        sample = DATASETS.build(config)[0]
    assert sample['inputs'].shape == (3, 6, 8) and sample['data_samples'].gt_label.tolist() == [0]


def test_folders_that_are_no_names(tmp_path):
    lines = ['train/1.jpg 0', 'train/2.jpg 1']
    places = PlacesLT(write(tmp_path, lines), data_root=str(tmp_path))
    assert places.metainfo['classes'] == tuple(map(str, range(365)))


def test_imagenet(tmp_path):
    lines = ['train/n01440764/n01440764_762.JPEG 0', '', 'train/n15075141/n15075141_1.JPEG 999']
    images = ImageNetLT(write(tmp_path, lines), data_root=str(tmp_path), data_prefix='imagenet')
    assert entries(images)[1] == (f'{tmp_path}/imagenet/train/n15075141/n15075141_1.JPEG', 999)
    assert len(images.metainfo['classes']) == 1000
    assert images.metainfo['classes'][0].startswith('tench')


@pytest.mark.parametrize('kind', ['json', 'txt'])
def test_inaturalist(tmp_path, kind):
    (tmp_path / 'list.json').write_text(json.dumps(SPECIES))
    lines = ['train_val2018/Aves/3/b.jpg 3', 'train_val2018/Plantae/8141/a.jpg 8141']
    write(tmp_path, lines)
    species = INaturalist2018(f'list.{kind}', data_root=str(tmp_path), data_prefix='images')
    assert entries(species) == [
        (f'{tmp_path}/images/train_val2018/Aves/3/b.jpg', 3),
        (f'{tmp_path}/images/train_val2018/Plantae/8141/a.jpg', 8141),
    ]
    classes = species.metainfo['classes']
    assert len(classes) == 8142
    assert classes[3] == ('Turdus merula' if kind == 'json' else '3') and classes[4] == '4'


def test_inaturalist2017(tmp_path):
    name = 'Actinopterygii/Zebrasoma flavescens'
    content = dict(
        images=[dict(id=9, file_name=f'train_val_images/{name}/{"a" * 32}.jpg')],
        annotations=[dict(id=1, image_id=9, category_id=5088)],
        categories=[dict(id=5088, name=Path(name).name, supercategory='Actinopterygii')],
    )
    (tmp_path / 'val2017.json').write_text(json.dumps(content))
    config = dict(type='INaturalist2017', ann_file='val2017.json', data_root=str(tmp_path))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        species = DATASETS.build(config)
    assert species.get_data_info(0)['gt_label'] == 5088
    assert species.get_data_info(0)['img_path'].startswith(f'{tmp_path}/train_val_images/{name}/')
    assert len(species.metainfo['classes']) == 5089
    assert species.metainfo['classes'][-1] == 'Zebrasoma flavescens'
    content['annotations'][0]['category_id'] = 5089
    (tmp_path / 'val2017.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'the label 5089, but labels must be in \[0, 5089\)'):
        INaturalist2017('val2017.json', data_root=str(tmp_path))


def test_own_classes(tmp_path):
    lines = write(tmp_path, PLACES)
    places = PlacesLT(lines, data_root=str(tmp_path), classes=('field', 'b', 'terminal'))
    assert places.metainfo['classes'] == ('field', 'b', 'terminal')
    with pytest.raises(ValueError, match=r'a b.jpg the label 2, but labels must be in \[0, 2\)'):
        PlacesLT(lines, data_root=str(tmp_path), classes=('field', 'b'))


@pytest.mark.parametrize(
    ('kind', 'name', 'images', 'classes', 'first'),
    [
        (PlacesLT, 'Places_LT_train.txt', 62500, 365, 'airfield'),
        (ImageNetLT, 'ImageNet_LT_val.txt', 20000, 1000, 'tench, Tinca tinca'),
        (INaturalist2018, 'iNaturalist18_val.txt', 24426, 8142, '0'),
    ],
)
def test_published_lists(kind, name, images, classes, first):
    if not (LISTS / name).exists():
        pytest.skip('the published list is not there')
    dataset = kind(str(LISTS / name))
    counts = Counter(dataset.get_gt_labels().tolist())
    assert len(dataset) == images and sorted(counts) == list(range(classes))
    assert len(dataset.metainfo['classes']) == classes
    assert dataset.metainfo['classes'][0] == first


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('train/airfield/1.jpg', 'line 2 of .*list.txt is .train/airfield/1.jpg'),
        ('train/airfield/1.jpg -1', '"path label" on every line, but line 2'),
        ('train/airfield/1.jpg 365', r'1.jpg the label 365, but labels must be in \[0, 365\)'),
    ],
)
def test_bad_lists(tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        PlacesLT(write(tmp_path, [PLACES[0], line]), data_root=str(tmp_path))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.csv', {}, r'ann_file must be a .json or .txt file, but got .*a.csv'),
        ('a.json', dict(images=[]), 'must have images and annotations, but .*has no annotations'),
        ('a.json', dict(SPECIES, annotations=[]), 'no annotation for 2 images, .*Aves/3/b.jpg'),
    ],
)
def test_bad_annotations(tmp_path, name, content, message):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        INaturalist2018(name, data_root=str(tmp_path))
