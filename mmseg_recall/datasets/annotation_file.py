"""What MMDetection leaves out of a COCO-format annotation file without a word."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real

from ..files import InputError, reading

EXPECTED = 'annotations in the format of COCO or LVIS'


def reads_boxes(dataset) -> bool:
    """Whether it is MMDetection's ``CocoDataset`` (or LVIS's): not panoptic segments."""
    return getattr(getattr(dataset, 'COCOAPI', None), '__name__', None) == 'COCO'


def check_annotations(dataset, names: list[str]) -> None:
    """Stop at what MMDetection would not train on as it stands, or not under its name.

    Args:
        dataset (mmdet.datasets.CocoDataset): The dataset, or one that inherits from it.
        names (list[str]): Its classes.

    Raises:
        InputError: If the classes are not those of the file; see :func:`check_annotation_file`.
    """
    # Labels are places among the categories that were found: with one missing all behind it move.
    if len(dataset.cat_ids) != len(names):
        raise InputError(
            f'{dataset.ann_file} has {len(dataset.cat_ids)} categories for the {len(names)} '
            f'classes {", ".join(names[:4])}, ... of {type(dataset).__name__}: name those of the '
            'file, metainfo=dict(classes=...)'
        )
    check_annotation_file(dataset.ann_file, backend_args=dataset.backend_args)


def check_annotation_file(path: str, **fileio) -> None:
    """Stop at an annotation that MMDetection skips, or cannot read.

    Of a category that the file does not list it skips them; where a box or its area is missing it
    ends with a ``KeyError``.

    Args:
        path (str): The file.
        **fileio: Where the file is, as :func:`mmengine.fileio.get_text` takes it.

    Raises:
        InputError: If the file cannot be read, or has an annotation without a box or its area, or
            of a category or image that it does not list.
    """
    from mmengine.fileio import get_text

    with reading(path, EXPECTED):
        content = json.loads(get_text(path, **fileio))
        images, categories = (
            {entry['id'] for entry in content[key]} for key in ('images', 'categories')
        )
        annotations = content['annotations']
    for index, annotation in enumerate(annotations):
        wrong = _what_is_wrong(annotation, images, categories)
        if wrong:
            name = annotation.get('id', f'at {index}')
            raise InputError(f'{path}: annotation {name} {wrong}')


@contextmanager
def naming_bad_annotations(cfg) -> Iterator[None]:
    """Look for a bad annotation where MMDetection ends with an error that does not name it.

    Args:
        cfg (mmengine.config.Config): The config whose training set is built in the block.

    Raises:
        InputError: In place of the error, if there is one; see :func:`check_annotation_file`.
    """
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError):
        if cfg.get('default_scope') == 'mmdet':
            for path in annotation_files(cfg.train_dataloader.dataset):
                check_annotation_file(path)
        raise


def annotation_files(dataset: dict) -> Iterator[str]:
    """The files that the config of a dataset, or of wrappers around some, names."""
    if dataset.get('ann_file'):
        yield os.path.join(dataset.get('data_root') or '', dataset['ann_file'])
    inner = dataset.get('datasets') or [dataset.get('dataset') or {}]
    for part in inner:
        if part:
            yield from annotation_files(part)


def _what_is_wrong(annotation: dict, images: set, categories: set) -> str:
    for key, listed in (('image_id', images), ('category_id', categories)):
        if annotation.get(key) not in listed:
            kind = 'images' if key == 'image_id' else 'categories'
            return f'has the {key} {annotation.get(key)!r}, which is none of its {kind}'
    box = annotation.get('bbox')
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        return f'must have a bbox of four numbers, [x, y, width, height], but has {box!r}'
    if not _is_finite(annotation.get('area')):
        return f'must have a number as its area, but has {annotation.get("area")!r}'
    return ''


def _is_finite(value) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
