"""Which classes a trained model does not find in the validation set, and what they become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..evaluation.predictions import label_pairs
from ..evaluation.run_results import predictions
from ..files import InputError
from .training_set import values_of

FOUND = 0.1
"""Recall from which on a class counts as found."""


@dataclass(frozen=True)
class Mistake:
    """A class that a model does not find.

    Attributes:
        name (str): The class.
        count (int): Its pixels or images in the validation set.
        recall (float): The share of them that is found.
        predicted (int): Pixels or images that are predicted to be of the class.
        becomes (dict[str, float]): Other classes that they are predicted to be, the largest share
            first.
    """

    name: str
    count: int
    recall: float
    predicted: int
    becomes: dict[str, float]


def find_mistakes(cfg: Config, checkpoint: str | Path) -> list[Mistake]:
    """Run a model over the validation set, and list the classes whose recall is below 10 %.

    Raises:
        InputError: If the config has no validation set, or the checkpoint cannot be read.
    """
    if not cfg.get('val_dataloader'):
        raise InputError(f'--checkpoint needs a val_dataloader in {cfg.filename}, which has none')
    dataset, samples, _ = predictions(cfg, Path(checkpoint), 'Predicting validation images')
    pair = _pixels if cfg.default_scope == 'mmseg' else _label
    classes = dataset.metainfo.get('classes') or range(max(values_of('num_classes', cfg.model)))
    names = list(map(str, classes))
    confusion = np.zeros((len(names), len(names)), np.int64)
    for index, (_, sample) in enumerate(samples):
        _, true, predicted, counts = label_pairs(index, *pair(sample), len(names)).T
        confusion[true, predicted] += counts  # each pair is there once
    return mistakes_of(confusion, names)


def mistakes_of(confusion: np.ndarray, names: list[str]) -> list[Mistake]:
    """The classes that a confusion matrix (rows: truth) shows to be missed, the worst first.

    Example:
        >>> mistakes_of(np.array([[5, 0], [3, 0]]), ['road', 'pole'])[0]
        Mistake(name='pole', count=3, recall=0.0, predicted=0, becomes={'road': 1.0})
    """
    counts = confusion.sum(1)
    found = []
    for label, name in enumerate(names):
        recall = confusion[label, label] / max(1, counts[label])
        if counts[label] and recall < FOUND:
            shares = confusion[label] / counts[label]
            order = [other for other in np.argsort(-shares, kind='stable') if other != label]
            becomes = {names[other]: float(shares[other]) for other in order if shares[other] > 0}
            predicted = int(confusion[:, label].sum())
            found.append(Mistake(name, int(counts[label]), float(recall), predicted, becomes))
    return sorted(found, key=lambda mistake: mistake.recall)


def _pixels(sample) -> tuple[np.ndarray, np.ndarray]:
    maps = sample.gt_sem_seg.data, sample.pred_sem_seg.data
    truth, predicted = (label_map.squeeze().cpu().numpy() for label_map in maps)
    return truth, predicted


def _label(sample) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = (value.cpu().numpy() for value in (sample.gt_label, sample.pred_score))
    return truth.reshape(-1)[:1], predicted.argmax(keepdims=True)
