"""What a training set holds of each class: counts, and sizes as the network sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner.utils import set_random_seed
from rich.progress import track
from torch import nn

from ..datasets.annotation_file import naming_bad_annotations
from ..datasets.class_counts import (
    IGNORED,
    NUM_WORKERS,
    ClassCounts,
    cached_class_counts,
    count_classes,
)
from ..engine.hooks.label_check_hook import check_labels, check_lengths, heads_of_classes
from ..evaluation.predictions import equal_distances
from ..files import InputError, MissingInputError, input_errors, reading
from ..functional import checks, saturated_beta

SAMPLES = 64
"""How many training samples are looked at after the pipeline, at equal distances in the list."""


def build_training_set(cfg: Config):
    """The dataset that a config trains on.

    Raises:
        InputError: If the config has none, its files cannot be found, or an annotation file for
            MMDetection is wrong.
    """
    if not cfg.get('train_dataloader'):
        raise InputError(f'{cfg.filename} must have a train_dataloader, but has none')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    try:
        with naming_bad_annotations(cfg):
            return DATASETS.build(cfg.train_dataloader.dataset)
    except (FileNotFoundError, AssertionError) as error:  # MMSegmentation asserts ann_file
        raise MissingInputError(
            f'{cfg.filename}: the training set cannot be found: {error}. Look at data_root, '
            'data_prefix and ann_file of train_dataloader.dataset; relative paths start at the '
            'working directory'
        ) from error


def count_training_set(
    cfg: Config, dataset, num_workers: int | None = None, folder: str | Path | None = None
) -> ClassCounts:
    """Count as ``ClassCountsHook`` does when the config is trained.

    Args:
        cfg: The config.
        dataset: Its training set.
        num_workers: Processes that read label maps; default: one for each core, at most 8.
        folder: Where the counts are cached; default: nowhere.

    Raises:
        InputError: If the classes cannot be counted.
    """
    if num_workers is None:
        num_workers = NUM_WORKERS
    with input_errors():
        checks.integer('--workers', num_workers, low=0)
    num_classes = max(values_of('num_classes', cfg.model), default=None)
    about = num_classes, next(values_of('ignore_index', cfg.model), None), num_workers
    if folder is None:
        return count_classes(dataset, *about)
    return cached_class_counts(dataset, folder, *about)


def values_of(key: str, node) -> Iterator:
    """The values a key has anywhere in a config.

    Example:
        >>> list(values_of('beta', dict(head=[dict(loss=dict(beta=0.9))])))
        [0.9]
    """
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from values_of(key, child)


def warnings_about(counts: ClassCounts, cfg: Config) -> Iterator[str]:
    """What losses that read the counts cannot work with."""
    if counts.unseen:
        yield (
            f'never seen: {", ".join(counts.unseen)}. Remove these classes, or give the losses '
            'min_count'
        )
    seen = torch.tensor([count for count in counts.counts if count])
    for beta in class_balanced_betas(cfg):
        message = saturated_beta(seen, beta) if len(seen) else None
        if message:
            yield message


def class_balanced_betas(cfg: Config) -> list[float]:
    """Those that the config gives ``ClassBalancedLoss``, or its default."""
    betas = {beta for beta in values_of('beta', [cfg.model, cfg.get('custom_hooks')]) if beta < 1}
    return sorted(betas or {0.999})


# --- after the pipeline -------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingSamples:
    """Segmentation samples as the training pipeline gives them: resized, cropped, flipped.

    Attributes:
        number (int): How many were looked at.
        shape (tuple[int, int]): Height and width of the largest.
        widths (list[int or None]): Of each class the width, in pixels, up to which half of its
            pixels are: see :func:`median_width`; ``None`` for a class in none of the samples.
        ignored (int): How many have nothing but ignored labels.
    """

    number: int
    shape: tuple[int, int]
    widths: list[int | None]
    ignored: int


def look_at_samples(dataset, num_classes: int, heads: dict[str, nn.Module]) -> TrainingSamples:
    """Check the labels of some training samples as ``LabelCheckHook`` does, and measure them.

    Args:
        dataset: The training set of a segmentation config, or wrappers around some.
        num_classes: How many classes there are.
        heads: See :func:`label_heads`.

    Raises:
        InputError: If a label is neither a class nor ignored, or a sample cannot be read.
    """
    set_random_seed(0)  # crops and flips: the same at each call
    indices = equal_distances(len(dataset), SAMPLES)
    ignored_label = next((head.ignore_index for head in heads.values()), IGNORED)
    maps = []
    for index in track(indices, description='Looking at training samples'):
        with reading(f'training sample {index}', 'what the training pipeline takes', (OSError,)):
            sample = dataset[index]['data_samples']
        label = sample.gt_sem_seg.data
        with input_errors():
            for name, head in heads.items():
                check_labels(name, head, [label], [sample])
        maps.append(label[0].numpy())
    runs = [horizontal_runs(label_map) for label_map in maps]
    labels, lengths = (np.concatenate(parts) for parts in zip(*runs))
    return TrainingSamples(
        number=len(maps),
        shape=tuple(np.max([label_map.shape for label_map in maps], 0).tolist()),
        widths=[median_width(lengths[labels == label]) for label in range(num_classes)],
        ignored=sum((label_map == ignored_label).all() for label_map in maps),
    )


def label_heads(model: nn.Module, dataset) -> dict[str, nn.Module]:
    """The heads that predict classes, with their numbers of classes checked.

    Raises:
        InputError: If one predicts another number of classes than the dataset names, or has a list
            of another length.
    """
    heads = heads_of_classes(model)
    with input_errors():
        for name, head in heads.items():
            check_lengths(name, head, dataset.metainfo.get('classes'))
    return heads


def horizontal_runs(label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label and length of each run of equal labels in the rows of a label map.

    Example:
        >>> labels, lengths = horizontal_runs(np.array([[0, 0, 7], [7, 0, 0]]))
        >>> labels.tolist(), lengths.tolist()
        ([0, 7, 7, 0], [2, 1, 1, 2])
    """
    begins = np.ones(label_map.shape, bool)
    begins[:, 1:] = label_map[:, 1:] != label_map[:, :-1]
    first = np.flatnonzero(begins)
    return label_map.ravel()[first], np.diff(first, append=label_map.size)


def median_width(lengths: np.ndarray) -> int | None:
    """The width such that half of the pixels are in runs of at most that length.

    Each run counts by its pixels: a large surface that others interrupt has many short runs too.

    Example:
        >>> median_width(np.array([1, 1, 1, 1, 40]))
        40
    """
    if not lengths.size:
        return None
    ordered = np.sort(lengths)
    pixels = ordered.cumsum()
    return int(ordered[np.searchsorted(pixels, pixels[-1] / 2)])
