"""Folders of label maps, as any framework can write them -> what a run predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..files import InputError, MissingInputError, reading
from .image_totals import ImageTotals, distinct_names
from .predictions import (
    MAX_EXAMPLES,
    Examples,
    RunResults,
    class_colours,
    encode_image,
    encode_labels,
    equal_distances,
    label_pairs,
    small_size,
)


def read_label_maps(
    predicted: str | Path,
    truth: str | Path,
    classes: Sequence[str],
    images: str | Path | None = None,
    ignore_index: int = 255,
) -> RunResults:
    """Read what a model predicted, whatever it was trained with.

    The folders hold images of one channel, a file for each image, whose grey values are labels.
    Files of different folders belong together by their names, the ending aside.

    Args:
        predicted (str or Path): Folder of the predicted label maps.
        truth (str or Path): Folder of the true label maps.
        classes (Sequence[str]): C class names, by label.
        images (str or Path, optional): Folder of the images, for the page.
        ignore_index (int): The true label that is ignored.

    Returns:
        RunResults: The results, for :func:`mmseg_recall.evaluation.compare` (its ``totals``) and
        :func:`mmseg_recall.visualization.write_page`.

    Raises:
        MissingInputError: A ``FileNotFoundError``, if there is no true label map, or a predicted
            one or an image is missing.
        InputError: A ``ValueError``, if a file is no image, label maps differ in size, or a label
            is neither a class nor the ignored one.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, label in dict(truth=1, predicted=0).items():
        ...     (folder / name).mkdir()
        ...     _ = cv2.imwrite(str(folder / name / 'a.png'), np.full((2, 2), label, np.uint8))
        >>> run = read_label_maps(folder / 'predicted', folder / 'truth', ['road', 'pole'])
        >>> run.pairs.tolist()
        [[0, 1, 0, 4]]
    """
    truths = _files(truth)
    predictions, photos = _files(predicted), _files(images) if images else {}
    names = sorted(truths)
    if not names:
        raise MissingInputError(f'{truth} has no label map: expected a file for each image')
    chosen, classes = set(equal_distances(len(names), MAX_EXAMPLES)), distinct_names(classes)
    examples = Examples(palette=class_colours(len(classes)))
    pairs = []
    areas = np.zeros((len(names), 3, len(classes)), np.int64)
    for index, name in enumerate(names):
        labels = _labels(truths[name], len(classes), ignore_index)
        label_map = _labels(_of(predictions, name, predicted), len(classes))
        if labels.shape != label_map.shape:
            raise InputError(
                f'label maps of an image must have one size, but {truths[name]} has '
                f'{labels.shape} and {predictions[name]} {label_map.shape}'
            )
        pairs.append(label_pairs(index, labels, label_map, len(classes)))
        areas[index] = _areas(pairs[-1], len(classes))
        if index in chosen and images:
            size = small_size(labels.shape)
            examples.index.append(index)
            examples.images.append(encode_image(_read(_of(photos, name, images), True), size))
            examples.truth.append(encode_labels(labels, size, len(classes)))
            examples.predicted.append(encode_labels(label_map, size, len(classes)))
    totals = ImageTotals.of_areas(classes, areas)
    return RunResults(Path(predicted), None, totals, pairs=np.concatenate(pairs), examples=examples)


def _files(folder: str | Path) -> dict[str, Path]:
    """The files of a folder and of those in it, by name without ending."""
    folder = Path(folder)
    return {
        str(path.relative_to(folder).with_suffix('')): path
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def _of(files: dict[str, Path], name: str, folder: str | Path) -> Path:
    if name not in files:
        raise MissingInputError(f'{folder} has no file {name}.*, as the true label maps have')
    return files[name]


def _read(path: Path, colour: bool) -> np.ndarray:
    with reading(path, 'an image'):
        flags = cv2.IMREAD_COLOR if colour else cv2.IMREAD_UNCHANGED
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
        if image is None:
            raise ValueError('something else')
    return image


def _labels(path: Path, num_classes: int, ignore_index: int | None = None) -> np.ndarray:
    """A label map, -1 where it is ignored."""
    labels = _read(path, False).astype(np.int64)
    if labels.ndim != 2:
        raise InputError(
            f'label maps must have one channel, but {path} has the shape {labels.shape}'
        )
    if ignore_index is not None:
        labels[labels == ignore_index] = -1
    if labels.max() >= num_classes:
        raise InputError(
            f'labels must be below {num_classes}, the number of classes'
            f'{"" if ignore_index is None else f", or {ignore_index} for ignored"}, but {path} has '
            f'{labels.max()}'
        )
    return labels


def _areas(pairs: np.ndarray, num_classes: int) -> np.ndarray:
    """True positive, predicted and support of each class, ``(3, C)``."""
    _, truth, predicted, count = pairs.T
    correct = truth == predicted
    return np.stack(
        [
            np.bincount(labels, counts, num_classes)
            for labels, counts in (
                (truth[correct], count[correct]),
                (predicted, count),
                (truth, count),
            )
        ]
    )
