import json

import pytest

from mmseg_recall.datasets.annotation_file import annotation_files, check_annotation_file
from mmseg_recall.files import InputError

GOOD = dict(
    images=[dict(id=1)],
    categories=[dict(id=7, name='cup')],
    annotations=[dict(id=3, image_id=1, category_id=7, bbox=[0, 0, 2, 2.5], area=5)],
)


def write(folder, content):
    path = folder / 'a.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_good_file(tmp_path):
    check_annotation_file(write(tmp_path, GOOD))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'cannot be read: expected annotations in the format of COCO or LVIS'),
        (dict(GOOD, categories=None), 'cannot be read'),
        (dict(images=[], annotations=[]), "KeyError: 'categories'"),
        (dict(GOOD, images=[]), 'annotation 3 has the image_id 1, which is none of its images'),
        (dict(GOOD, annotations=[dict(image_id=1)]), 'annotation at 0 has the category_id None'),
        (
            dict(GOOD, annotations=[dict(image_id=1, category_id=7, bbox=[0, 0, 1, '1'])]),
            r"annotation at 0 must have a bbox of four numbers, .* but has \[0, 0, 1, '1'\]",
        ),
        (
            dict(GOOD, annotations=[dict(image_id=1, category_id=7, bbox=[0, 0, 1, 1])]),
            'annotation at 0 must have a number as its area, but has None',
        ),
    ],
)
def test_bad_files(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        check_annotation_file(write(tmp_path, content))


def test_files_of_a_config():
    inner = dict(type='CocoDataset', data_root='data', ann_file='a.json')
    wrapped = dict(type='ConcatDataset', datasets=[inner, dict(dataset=dict(ann_file='b.json'))])
    assert list(annotation_files(wrapped)) == ['data/a.json', 'b.json']
