"""How often each class occurs in a training set: what ``class_counts='auto'`` asks for."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from ..files import InputError, read_or_rebuild, reading, written_whole
from .annotation_file import check_annotations, reads_boxes

NUM_WORKERS = min(8, os.cpu_count() or 1)
IGNORED = 255
"""MMSegmentation's label of pixels that belong to no class."""
LISTED = dict(gt_label='samples', instances='instances')
"""What a list of annotations has of an image, and what its labels count."""


@dataclass(frozen=True)
class ClassCounts:
    """How often each class occurs in a training set.

    Attributes:
        classes (list[str]): Class names, by label.
        unit (str): What is counted: ``'pixels'``, ``'samples'`` or ``'instances'``.
        counts (list[int]): Occurrences of each class.
        images (list[int]): Images that contain the class.
        num_images (int): Images altogether.
    """

    classes: list[str]
    unit: str
    counts: list[int]
    images: list[int]
    num_images: int

    def numbers(self, count: Literal['occurrences', 'images']) -> list[int]:
        """Occurrences of each class, or the images it is in."""
        return self.images if count == 'images' else self.counts

    @property
    def unseen(self) -> list[str]:
        """Names of the classes that never occur."""
        return [name for name, count in zip(self.classes, self.counts) if count == 0]

    def save(self, path: str | Path) -> Path:
        """Write the JSON that every argument ``class_counts`` reads: whole, or not at all."""
        with written_whole(path) as unfinished:
            unfinished.write_text(json.dumps(asdict(self), indent=1), encoding='utf-8')
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> ClassCounts:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: If there is no such file, or it holds something else.
        """
        with reading(path, 'what ClassCounts.save writes'):
            counts = cls(**json.loads(Path(path).read_text(encoding='utf-8')))
            lengths = {len(column) for column in (counts.classes, counts.counts, counts.images)}
            if len(lengths) > 1:
                raise ValueError('classes, counts and images of different lengths')
        return counts


def count_classes(
    dataset,
    num_classes: int | None = None,
    ignore_index: int | None = None,
    num_workers: int = NUM_WORKERS,
) -> ClassCounts:
    r"""Count :math:`n_c`, pixels, samples or instances of each class, in the images of a dataset.

    Classification datasets are counted from their list of annotations; a sample of several labels
    counts for each of them. So are MMDetection's (COCO, LVIS), as far as they train: not the images
    that ``filter_cfg`` removes, nor boxes that are crowds, ignored or empty. For segmentation every
    label map is read, by the pipeline's transforms whose names start with ``Load``
    (``LoadAnnotations`` with its ``reduce_zero_label`` and ``label_map``); those that load images
    alone, and all that follow (crops, flips), are left out.

    Wrapped datasets are counted themselves: those of a ``ConcatDataset`` are summed, and a wrapper
    that repeats or mixes the images of one dataset (``RepeatDataset``, ``ClassBalancedDataset``,
    ``MultiImageMixDataset``) has the counts of that dataset.

    Args:
        dataset: A dataset of MMEngine's kind, or wrappers around some.
        num_classes (int, optional): The number of classes, where ``metainfo`` does not name them.
        ignore_index (int, optional): Label of pixels that do not count; default: the dataset's,
            255. In classification no label is ignored.
        num_workers (int): Processes that read label maps; 0 reads them in this one.

    Returns:
        ClassCounts: The counts, whose ``save`` writes the file that losses read.

    Raises:
        InputError: A ``ValueError``, if the dataset is empty, if neither it nor ``num_classes``
            says what the classes are, if its pipeline loads no label map, if a label map cannot
            be read or has a label that is no class, or if an annotation file of COCO's format
            cannot be read or has an annotation without a box, or of a category or image that it
            does not list.

    Example:
        >>> from mmengine.dataset import BaseDataset, RepeatDataset
        >>> class Birds(BaseDataset):
        ...     METAINFO = dict(classes=('robin', 'ibis'))
        ...     def load_data_list(self):
        ...         return [dict(gt_label=label) for label in (0, 0, 1)]
        >>> count_classes(RepeatDataset(Birds(), times=5)).counts
        [2, 1]
    """
    parts = _parts(dataset)
    names = _names(parts[0], num_classes)
    for part in parts:
        if reads_boxes(part):
            check_annotations(part, names)
    totals = np.zeros((2, len(names)), np.int64)
    for part in parts:
        ignored = _ignored(part, ignore_index)
        for index, (labels, counts) in enumerate(_tallies(part, num_workers)):
            if ignored is not None:
                valid = labels != ignored
                labels, counts = labels[valid], counts[valid]
            _check(labels, names, ignored, part, index)
            totals[0, labels] += counts
            totals[1, labels] += 1
    counts, images = totals.tolist()
    return ClassCounts(names, _unit(parts[0]), counts, images, sum(map(len, parts)))


def cached_class_counts(
    dataset,
    folder: str | Path,
    num_classes: int | None = None,
    ignore_index: int | None = None,
    num_workers: int = NUM_WORKERS,
) -> ClassCounts:
    """:func:`count_classes`, from ``folder/class_counts_<fingerprint>.json`` where that exists.

    A file that is damaged is counted again, with a warning.

    The fingerprint is of everything the counts depend on: classes, ignored label, loading
    transforms, label mapping, and the labels or the label maps' paths, sizes and times.

    Args:
        dataset: See :func:`count_classes`, as for the other arguments.
        folder (str or Path): The folder of the file, which is made if it does not exist.

    Returns:
        ClassCounts: The counts.

    Raises:
        InputError: See :func:`count_classes`.
    """
    digest = _fingerprint(dataset, num_classes, ignore_index)
    path = Path(folder) / f'class_counts_{digest}.json'
    return read_or_rebuild(
        path,
        ClassCounts.load,
        lambda path: count_classes(dataset, num_classes, ignore_index, num_workers).save(path),
    )


# --- what is in a dataset -----------------------------------------------------------------------


def _parts(dataset) -> list:
    """The datasets inside of wrappers."""
    dataset.full_init()
    if hasattr(dataset, 'datasets'):
        return [part for inner in dataset.datasets for part in _parts(inner)]
    if hasattr(dataset, 'dataset'):
        return _parts(dataset.dataset)
    if not len(dataset):
        raise InputError(f'cannot count the classes of {type(dataset).__name__}: it is empty')
    return [dataset]


def _names(part, num_classes: int | None) -> list[str]:
    names = part.metainfo.get('classes')
    if names is None and num_classes is None:
        raise InputError(
            f'cannot count the classes of {type(part).__name__}: neither its metainfo nor a head '
            'of the model says which there are. Set metainfo=dict(classes=...) in the dataset'
        )
    return list(map(str, names if names is not None else range(num_classes)))


def _unit(part) -> str:
    info = part.get_data_info(0)
    return next((unit for key, unit in LISTED.items() if key in info), 'pixels')


def _ignored(part, ignore_index: int | None) -> int | None:
    if _unit(part) != 'pixels':
        return None
    return getattr(part, 'ignore_index', IGNORED) if ignore_index is None else ignore_index


def _check(labels: np.ndarray, names: list[str], ignored: int | None, part, index: int) -> None:
    wrong = labels[(labels < 0) | (labels >= len(names))]
    if wrong.size:
        path = _path(part.get_data_info(index)) or f'sample {index}'
        raise InputError(
            f'{path} has the labels {wrong.tolist()}, but there are {len(names)} classes and '
            f'ignore_index={ignored}: labels must be in [0, {len(names)}) or be ignored. Where 0 '
            'means "no class", set reduce_zero_label=True in the dataset; where the labels are ids '
            'of another list, map them with label_map'
        )


# --- counting -----------------------------------------------------------------------------------


def _tallies(part, num_workers: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each image the labels in it, each once, and how often each occurs."""
    if _unit(part) != 'pixels':
        for index in range(len(part)):
            yield np.unique(listed_labels(part.get_data_info(index)), return_counts=True)
        return
    # A generator of its own: counting must not move the training's random numbers on.
    loader = DataLoader(
        _LabelMaps(part),
        batch_size=None,
        num_workers=num_workers,
        generator=torch.Generator(),
        collate_fn=_as_is,
    )
    tallies = iter(loader)  # starts the processes, before the progress bar starts its thread
    for tally in track(tallies, description='Counting classes', total=len(part)):
        if isinstance(tally, InputError):
            raise tally
        yield tally


def listed_labels(info: dict) -> np.ndarray | None:
    """The labels that a list of annotations has for an image, those of a crowd left out.

    Args:
        info (dict): What ``get_data_info`` of a dataset gives.

    Returns:
        np.ndarray or None: int64 labels, each as often as it occurs; ``None`` for an image whose
        labels are in a label map.
    """
    if 'gt_label' in info:
        return np.array(info['gt_label'], np.int64, ndmin=1)
    if 'instances' not in info:
        return None
    labels = [box['bbox_label'] for box in info['instances'] if not box.get('ignore_flag')]
    return np.array(labels, np.int64)


class _LabelMaps(Dataset):
    """The tallies of a segmentation dataset's label maps, or the error of one without.

    (DataLoader would put the traceback of its process before the sentence of an error.)
    """

    def __init__(self, part):
        self.part = part
        # Copies: LoadAnnotations remembers what its first label map needed.
        self.loaders = copy.deepcopy(_loaders(part))

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray] | InputError:
        results = self.part.get_data_info(index)
        try:
            with reading(_path(results) or f'sample {index}', 'a label map'):
                for load in self.loaders:
                    results = load(results)
        except InputError as error:
            return error
        if 'gt_seg_map' not in results:
            return InputError(
                f'cannot count the classes of {type(self.part).__name__}: no transform of its '
                'pipeline whose name starts with Load, such as LoadAnnotations, gives gt_seg_map'
            )
        return _tally(results['gt_seg_map'])


def _path(info: dict) -> str | None:
    """The file of an image's label map, or of the image itself."""
    return info.get('seg_map_path') or info.get('img_path')


def _loaders(part) -> list:
    """The transforms that load labels: not those for images, which take the most time."""
    names = [type(transform).__name__ for transform in part.pipeline.transforms]
    return [
        transform
        for transform, name in zip(part.pipeline.transforms, names)
        if name.startswith('Load') and 'Image' not in name
    ]


def _tally(label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if label_map.dtype != np.uint8:
        return np.unique(label_map, return_counts=True)
    counts = np.bincount(label_map.ravel(), minlength=256)  # several times as fast
    labels = counts.nonzero()[0]
    return labels, counts[labels]


def _as_is(sample):
    """Keeps DataLoader from making tensors (a lambda would not reach spawned workers)."""
    return sample


# --- cache --------------------------------------------------------------------------------------


def _fingerprint(dataset, num_classes: int | None, ignore_index: int | None) -> str:
    digest = hashlib.sha256()
    for part in _parts(dataset):
        loaders = [(type(load).__name__, sorted(vars(load).items())) for load in _loaders(part)]
        about = _names(part, num_classes), _ignored(part, ignore_index), loaders
        digest.update(repr(about).encode())
        for index in range(len(part)):
            digest.update(repr(_annotation(part.get_data_info(index))).encode())
    return digest.hexdigest()[:16]


def _annotation(info: dict) -> tuple:
    """What the labels of an image depend on."""
    labels = listed_labels(info)
    if labels is not None:
        return tuple(labels.tolist())
    path = _path(info)
    return path, info.get('label_map'), info.get('reduce_zero_label'), _size_and_time(path)


def _size_and_time(path: str) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except OSError:  # not a local file: its address is all that is known
        return None
    return state.st_size, state.st_mtime_ns
