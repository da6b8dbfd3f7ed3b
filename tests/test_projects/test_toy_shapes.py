"""The toy shapes: the same files every time, a long tail, and annotations of what is drawn."""

import json

import cv2
import numpy as np
import pytest

from mmseg_recall.datasets.annotation_file import check_annotation_file
from projects.toy_shapes.create import (
    CATEGORIES,
    NUM_IMAGES,
    OUTLINES,
    SIDE,
    create,
    dealt,
    draw,
    frequency,
)

NAMES = list(CATEGORIES)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy_shapes')
    for split in NUM_IMAGES:
        create(folder, split)
    return folder


def read(folder, split):
    return json.loads((folder / f'annotations/toy_shapes_{split}.json').read_text())


def images_of(content):
    """The images of each category, once for each of its annotations."""
    images = {category['id']: [] for category in content['categories']}
    for annotation in content['annotations']:
        images[annotation['category_id']].append(annotation['image_id'])
    return images


def test_every_category_has_an_outline():
    assert list(OUTLINES) == NAMES


@pytest.mark.parametrize('split', NUM_IMAGES)
def test_annotations_are_those_of_lvis(folder, split):
    check_annotation_file(str(folder / f'annotations/toy_shapes_{split}.json'))
    content = read(folder, split)
    ids = [category['id'] for category in content['categories']]
    assert ids == [*range(1, len(NAMES) + 1)]
    assert [category['name'] for category in content['categories']] == NAMES
    present = {image['id']: set() for image in content['images']}
    for annotation in content['annotations']:
        present[annotation['image_id']].add(annotation['category_id'])
    for image in content['images']:
        assert (folder / split / image['file_name']).exists()
        # Nothing is left open: what an image does not have is listed as absent.
        assert sorted([*present[image['id']], *image['neg_category_ids']]) == ids
        assert not image['not_exhaustive_category_ids']
    assert len({annotation['id'] for annotation in content['annotations']}) == len(
        content['annotations']
    )


def test_long_tail_and_balanced_validation(folder):
    train, val = (images_of(read(folder, split)) for split in ('train', 'val'))
    assert [len(set(images)) for images in train.values()] == list(CATEGORIES.values())
    assert {len(set(images)) for images in val.values()} == {40}
    for content in (read(folder, split) for split in NUM_IMAGES):  # groups are of the training set
        groups = [category['frequency'] for category in content['categories']]
        assert groups == ['f', 'c', 'r'] * 5
        assert [category['image_count'] for category in content['categories']] == list(
            CATEGORIES.values()
        )
        assert len(content['images']) in NUM_IMAGES.values()


@pytest.mark.parametrize(
    ('images', 'group'), [(1, 'r'), (10, 'r'), (11, 'c'), (100, 'c'), (101, 'f')]
)
def test_groups_are_those_of_lvis(images, group):
    assert frequency(images) == group


@pytest.mark.parametrize('label', range(len(NAMES)), ids=NAMES)
def test_outline_is_of_what_is_drawn(label):
    """The box and area of an annotation, and where the image changes."""
    image, (outline,) = draw([label], np.random.default_rng(label))
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
    assert outline.min() >= 0 and outline.max() <= SIDE
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.rint(outline - 0.5).astype(np.int32)], 1)
    inside = cv2.erode(mask, np.ones((5, 5))) == 1
    around = (cv2.dilate(mask, np.ones((9, 9))) == 1) & (cv2.dilate(mask, np.ones((5, 5))) == 0)
    difference = image[inside].mean(0) - image[around].mean(0)
    assert np.abs(difference).mean() > 15


def test_annotation_of_an_outline(folder):
    """Boxes, and areas by another formula than the script's."""
    for annotation in read(folder, 'val')['annotations'][:50]:
        (polygon,) = annotation['segmentation']
        points = np.array(polygon, np.float32).reshape(-1, 2)
        x, y, width, height = annotation['bbox']
        np.testing.assert_allclose(
            [*points.min(0), *np.ptp(points, 0)], [x, y, width, height], atol=0.011
        )
        assert annotation['area'] == pytest.approx(cv2.contourArea(points), rel=1e-3)


def test_shapes_do_not_touch():
    for seed in range(20):
        _, outlines = draw([0, 3, 6, 9], np.random.default_rng(seed))
        centres = [outline.mean(0) for outline in outlines]
        for i, centre in enumerate(centres):
            others = np.concatenate([o for j, o in enumerate(outlines) if j != i])
            own = np.hypot(*(outlines[i] - centre).T).max()
            assert np.hypot(*(others - centre).T).min() > own


def test_same_every_time(folder, tmp_path):
    create(tmp_path, 'val')
    assert read(tmp_path, 'val') == read(folder, 'val')
    name = read(folder, 'val')['images'][7]['file_name']
    assert (tmp_path / 'val' / name).read_bytes() == (folder / 'val' / name).read_bytes()


def test_dealing():
    images = dealt([4, 3, 1], 5, np.random.default_rng(0))
    assert sorted(map(len, images)) == [1, 1, 2, 2, 2]
    assert [sum(label in labels for labels in images) for label in range(3)] == [4, 3, 1]


def test_config_names_the_same_classes():
    pytest.importorskip('mmengine')
    from mmengine.config import Config

    from tests.test_tools.paths import ROOT

    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/toy_shapes.py')
    assert list(cfg.classes) == NAMES
