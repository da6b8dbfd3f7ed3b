"""What a run predicts, with images small enough that one page holds dozens of them."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..files import InputError
from .image_totals import ImageTotals

MAX_EXAMPLES = 400
"""Images that are kept of a run, at equal distances in the validation set, to choose from later."""

EXAMPLE_SIZE = 384
"""Pixels of their longer side, at most."""

WIDE = 256
"""From this number of classes on labels and "none of them" need a second byte of a pixel."""


@dataclass(frozen=True)
class Examples:
    """Some validation images, encoded.

    Attributes:
        index (list[int]): Which of the validation images they are.
        images (list[bytes]): JPEG.
        truth (list[bytes]): Label maps as PNG, see :func:`encode_labels`; none in classification.
        predicted (list[bytes]): Predicted label maps.
        palette (list[list[int]]): The RGB colour of each class, for segmentation.
    """

    index: list[int] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    truth: list[bytes] = field(default_factory=list)
    predicted: list[bytes] = field(default_factory=list)
    palette: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class RunResults:
    """The results of a training on its validation images.

    Attributes:
        folder (Path): The folder of the training.
        checkpoint (Path, optional): The checkpoint whose parameters were scored.
        totals (ImageTotals): The totals of each validation image.
        likelihood (numpy.ndarray, optional): ``(C,)`` mean predicted score of each class, for
            classification.
        pairs (numpy.ndarray, optional): ``(K, 4)``: how often each image has a pair of a true and
            a predicted class, see :func:`label_pairs`.
        examples (Examples): Some of the images with their predictions.
        facts (dict[str, str]): Where the run comes from: schedule, seed, versions.
        settings (dict[str, str]): Its config, each setting by its name with dots.
    """

    folder: Path
    checkpoint: Path | None
    totals: ImageTotals
    likelihood: np.ndarray | None = None
    pairs: np.ndarray | None = None
    examples: Examples = field(default_factory=Examples)
    facts: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def run_names(folders: Sequence[str | Path]) -> list[str]:
    """What tells the folders of runs apart: their paths without what all begin and end with.

    Raises:
        InputError: If a folder is given twice.

    Examples:
        >>> run_names(['work_dirs/net_1xb4-ce-600i', 'work_dirs/net_1xb4-recall-600i'])
        ['ce', 'recall']
        >>> run_names(['work_dirs/ce', 'work_dirs/ce_long'])
        ['ce', 'ce_long']
    """
    paths = [Path(folder).resolve() for folder in folders]
    twice = [str(folder) for folder, path in zip(folders, paths) if paths.count(path) > 1]
    if twice:
        raise InputError(f'runs must be different folders, but got {" and ".join(twice)}')
    # Words and what separates them, in turns.
    words = [re.split(r'([/_-])', str(path)) for path in paths]
    start = _shared_words(words)
    end = _shared_words([parts[:start:-1] for parts in words])
    names = [''.join(parts[start : len(parts) - end]) for parts in words]
    short = len(paths) > 1 and all(name.strip('/_-') for name in names)
    if short:
        return [name.strip('/_-') for name in names]
    tails = [path.name for path in paths]
    return tails if len(set(tails)) == len(tails) else [str(folder) for folder in folders]


def _shared_words(words: list[list[str]]) -> int:
    """How many words (and separators) all begin with."""
    for count, parts in enumerate(zip(*words)):
        if len(set(parts)) > 1:
            return count
    return min(map(len, words))


def equal_distances(total: int, most: int) -> list[int]:
    """All numbers below a total, or of more than ``most`` so many at equal distances.

    Example:
        >>> equal_distances(3, 400), equal_distances(101, 4)
        ([0, 1, 2], [0, 33, 67, 100])
    """
    return np.linspace(0, total - 1, min(total, most)).round().astype(int).tolist()


def label_pairs(
    index: int, truth: np.ndarray, predicted: np.ndarray, num_classes: int
) -> np.ndarray:
    """How many positions of an image have each pair of a true and a predicted class.

    Args:
        index (int): The number of the image.
        truth (numpy.ndarray): Labels; positions outside the classes are ignored, here or there.
        predicted (numpy.ndarray): Predicted labels, of the same shape.
        num_classes (int): C.

    Returns:
        numpy.ndarray: ``(K, 4)`` int64: image, true class, predicted class, positions.

    Example:
        >>> label_pairs(7, np.array([0, 0, 1, 255]), np.array([0, 1, 1, 1]), 2).tolist()
        [[7, 0, 0, 1], [7, 0, 1, 1], [7, 1, 1, 1]]
    """
    truth, predicted = (np.asarray(labels, np.int64).ravel() for labels in (truth, predicted))
    valid = (truth >= 0) & (truth < num_classes) & (predicted < num_classes)
    counts = np.bincount(truth[valid] * num_classes + predicted[valid])
    found = counts.nonzero()[0]
    return np.stack(
        [np.full_like(found, index), found // num_classes, found % num_classes, counts[found]], 1
    )


def class_colours(num_classes: int) -> list[list[int]]:
    """RGB colours for classes that have none: hues by the golden angle, so that neighbours differ.

    Example:
        >>> class_colours(2)
        [[220, 56, 56], [56, 220, 104]]
    """
    hues = (0.381966 * label % 1 for label in range(num_classes))
    colours = (colorsys.hls_to_rgb(hue, 0.54, 0.7) for hue in hues)
    return [[round(255 * part) for part in colour] for colour in colours]


def small_size(shape: Sequence[int]) -> tuple[int, int]:
    """Width and height in which an image of ``(H, W)`` pixels is kept."""
    scale = min(1, EXAMPLE_SIZE / max(shape))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def encode_image(image: np.ndarray, size: tuple[int, int]) -> bytes:
    """An image, ``(H, W, 3)`` BGR, as JPEG of ``(width, height)``."""
    import cv2

    pixels = cv2.resize(image.clip(0, 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def encode_labels(labels: np.ndarray, size: tuple[int, int], num_classes: int) -> bytes:
    """A label map as PNG of ``(width, height)``.

    Grey is the label, 255 anything outside the classes. From :data:`WIDE` classes on red is the
    label's low byte and green its high byte.
    """
    import cv2

    outside = (labels < 0) | (labels >= num_classes)
    labels = np.where(outside, 0xFFFF, labels).astype(np.uint16)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    low, high = (labels & 0xFF).astype(np.uint8), (labels >> 8).astype(np.uint8)
    pixels = low if num_classes < WIDE else np.stack([np.zeros_like(low), high, low], 2)  # BGR
    return cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def decode_image(content: bytes) -> np.ndarray:
    """What :func:`encode_image` encoded, ``(H, W, 3)`` uint8, RGB."""
    return _decode(content)[..., ::-1]


def decode_labels(content: bytes, num_classes: int) -> np.ndarray:
    """What :func:`encode_labels` encoded, ``(H, W)`` int64; outside the classes 255 or 65535.

    Example:
        >>> labels = np.array([[0, 299], [300, 7]])
        >>> decode_labels(encode_labels(labels, (2, 2), 300), 300).tolist()
        [[0, 299], [65535, 7]]
    """
    pixels = _decode(content).astype(np.int64)
    return pixels[..., 2] + (256 * pixels[..., 1] if num_classes >= WIDE else 0)


def _decode(content: bytes) -> np.ndarray:
    import cv2

    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
