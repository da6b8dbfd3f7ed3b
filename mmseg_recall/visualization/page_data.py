"""What the page shows of a comparison, as plain data that its script reads as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.scalars import read_scalars
from ..evaluation.comparison import Comparison, interval
from ..files import MissingInputError

if TYPE_CHECKING:
    from ..evaluation.image_totals import ImageTotals
    from ..evaluation.predictions import RunResults

MIN_IMAGES, MAX_IMAGES = 24, 48
MAX_BYTES = 2_900_000
"""Of the data, to which more than ``MIN_IMAGES`` images do not add: a page has at most 3 MB."""

MAX_POINTS = 200
"""Points of a curve; where more were logged, each is the mean of some."""

MAX_CURVES = 40
"""Curves of recall weights of a run: of the classes whose weight is the largest at last."""

PERCENT, COUNT = 4, 6  # digits: as in table.csv, and significant ones of curves

Runs = Mapping[str, 'RunResults']
#: What stands above the chart of a scalar.
CHARTS = dict(loss='training loss')
CHARTS |= {name: f'{name} in validation' for name in ('mIoU', 'mAcc', 'top1')}
CHARTS |= {'accuracy/top1': 'top1 in validation', 'mean_recall': 'mean recall in validation'}


def page_data(
    comparison: Comparison,
    trainings: Mapping[str, Sequence[RunResults]],
    class_counts: Sequence[float] | None,
) -> dict[str, Any]:
    """Everything that the page's script draws.

    Args:
        comparison (Comparison): The scores.
        trainings (Mapping[str, Sequence[RunResults]]): Those of each run, the baseline first.
        class_counts (Sequence[float], optional): C training counts.
    """
    runs = {name: of_run[0] for name, of_run in trainings.items()}
    first = next(iter(runs.values())).totals
    data = dict(
        task=first.task,
        runs=comparison.runs,
        classes=first.classes,
        frequency=_frequency(first, class_counts),
        groups=_groups(first, class_counts),
        scores=_scores(comparison, first.classes),
        pairs=_pairs([np.concatenate([one.pairs for one in of]) for of in trainings.values()]),
        shownTraining=[_first_of(of_run) for of_run in trainings.values()],
        palette=next(iter(runs.values())).examples.palette,
        numImages=first.num_images,
        curves=_curves(runs),
        weights=_recall_weights(runs),
        likelihood=_likelihoods(runs),
    )
    return data | dict(images=_images(list(runs.values()), MAX_BYTES - _size(data)))


# --- scores of the classes --------------------------------------------------------------------


def _frequency(totals: ImageTotals, class_counts: Sequence[float] | None) -> dict[str, Any]:
    if class_counts is not None:
        return dict(title='training count', values=_rounded(class_counts, PERCENT))
    unit = 'pixels' if totals.task == 'segmentation' else 'images'
    shares = [100 * share for share in totals.shares().values()]
    return dict(title=f'% of validation {unit}', values=_rounded(shares, PERCENT))


def _groups(totals: ImageTotals, class_counts: Sequence[float] | None) -> dict[str, list[int]]:
    """Many-, medium- and few-shot classes where the run has them, else thirds by frequency."""
    if totals.groups:
        return totals.groups
    frequency = class_counts if class_counts is not None else list(totals.shares().values())
    order = np.argsort(-np.asarray(frequency, float), kind='stable')
    names = ('most frequent third', 'middle third', 'rarest third')
    return {name: part.tolist() for name, part in zip(names, np.array_split(order, 3)) if len(part)}


def _scores(comparison: Comparison, classes: list[str]) -> dict[str, list[dict]]:
    """Of each score that classes have a list, by label: values, and differences from the first."""
    label_of = {name: label for label, name in enumerate(classes)}
    scores: dict[str, list[dict]] = {}
    for row in comparison.rows:
        if row.class_name:
            of_classes = scores.setdefault(row.score, [{} for _ in classes])
            of_classes[label_of[row.class_name]] = dict(
                values=_rounded(row.values, PERCENT),
                texts=row.texts,
                differences=[
                    [*_rounded([d.value, d.low, d.high], PERCENT), d.clear, interval(d)]
                    for d in row.differences
                ],
            )
    return scores


def _first_of(trainings: Sequence[RunResults]) -> str:
    """Which training's predictions are shown, where there are several."""
    if len(trainings) < 2:
        return ''
    first = trainings[0]
    name = f'seed {first.facts["seed"]}' if 'seed' in first.facts else first.folder.name
    return f'{name}, the first of {len(trainings)} trainings'


def _pairs(of_runs: list[np.ndarray]) -> list[list[int]]:
    """How often a true class (first) became a predicted class (second), in each run.

    Example:
        >>> _pairs([np.array([[0, 1, 1, 5], [1, 1, 1, 2]]), np.array([[0, 1, 0, 7]])])
        [[1, 0, 0, 7], [1, 1, 7, 0]]
    """
    keys = np.concatenate([pairs[:, 1:3] for pairs in of_runs])
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    runs = np.repeat(np.arange(len(of_runs)), [len(pairs) for pairs in of_runs])
    counts = np.zeros((len(unique), len(of_runs)), np.int64)
    np.add.at(counts, (inverse.ravel(), runs), np.concatenate([pairs[:, 3] for pairs in of_runs]))
    return np.concatenate([unique, counts], 1).tolist()


# --- images -----------------------------------------------------------------------------------


def _images(runs: list[RunResults], max_bytes: int) -> list[dict[str, Any]]:
    """Those images that changed most for one class or another, as many as fit."""
    examples = [run.examples for run in runs]
    if any(of_run.index != examples[0].index for of_run in examples):
        return []
    numbers = {index: number for number, index in enumerate(examples[0].index)}
    chosen, size = [], 0
    for index in ranked_images([run.totals for run in runs], list(numbers)):
        number = numbers[index]
        image = dict(
            index=index,
            image=_base64(examples[0].images[number]),
            truth=_base64(*examples[0].truth[number : number + 1]),
            predicted=[_base64(*of_run.predicted[number : number + 1]) for of_run in examples],
            pairs=_pairs([run.pairs[run.pairs[:, 0] == index] for run in runs]),
        )
        size += _size(image)
        if len(chosen) == MAX_IMAGES or (size > max_bytes and len(chosen) >= MIN_IMAGES):
            break
        chosen.append(image)
    return chosen


def ranked_images(runs: list[ImageTotals], candidates: list[int]) -> list[int]:
    """Images in an order in which each class has its own near the front.

    The classes take turns, the one that changed most, relative to its size, first; each names the
    image in which its true less its false positives changed most from the first run to another.
    Of one run the classes name images in which they are wrong most often.

    Args:
        runs (list[ImageTotals]): The totals of the runs, on the same images.
        candidates (list[int]): The images to order.

    Example:
        >>> from mmseg_recall.evaluation import ImageTotals
        >>> labels, ce, recall = [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]
        >>> runs = [ImageTotals.of_labels(['a', 'b'], labels, run) for run in (ce, recall)]
        >>> ranked_images(runs, [0, 1, 2, 3])
        [3, 0, 1, 2]
    """
    change = np.zeros((len(candidates), len(runs[0].classes)))
    row_of = np.full(runs[0].num_images, -1)
    row_of[candidates] = np.arange(len(candidates))
    first, *others = (_correctness(run, row_of, change.shape) for run in runs)
    for other in others:
        change = np.maximum(change, abs(other - first))
    if not others:
        change = -first
    support = runs[0].sums()[2, 0]
    classes = np.argsort(-change.sum(0) / np.maximum(support, 1), kind='stable')
    order = np.argsort(-change, axis=0, kind='stable')
    turns = [
        order[rank, label]
        for rank in range(min(len(candidates), MAX_IMAGES))
        for label in classes
        if change[order[rank, label], label] > 0
    ]
    return [candidates[row] for row in dict.fromkeys([*turns, *range(len(candidates))])]


def _correctness(totals: ImageTotals, row_of: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """True positives less false positives and misses of each candidate and class."""
    kept = row_of[totals.image] >= 0
    wrong = totals.predicted + totals.support - 2 * totals.true_positive
    values = np.zeros(shape)
    values[row_of[totals.image[kept]], totals.label[kept]] = (totals.true_positive - wrong)[kept]
    return values


def _size(data: dict[str, Any]) -> int:
    return len(json.dumps(data))


def _base64(content: bytes = b'') -> str:
    return base64.b64encode(content).decode()


# --- curves -----------------------------------------------------------------------------------


def _curves(runs: Runs) -> list[dict[str, Any]]:
    """What was logged by these names in a training of several steps, a chart for each."""
    logged = {name: _logged(run.folder, '') for name, run in runs.items()}
    charts = []
    for scalar, title in CHARTS.items():
        lines = {
            name: _thinned(scalars[scalar])
            for name, scalars in logged.items()
            if len(scalars.get(scalar, ())) > 1
        }
        if lines:
            charts.append(dict(title=title, lines=lines))
    return charts


def _recall_weights(runs: Runs) -> dict[str, dict[str, Any]]:
    weights = {}
    for name, run in runs.items():
        logged = _logged(run.folder, 'recall_weight/')
        largest = sorted(logged, key=lambda c: -logged[c][max(logged[c])])[:MAX_CURVES]
        if largest:
            weights[name] = {class_name: _thinned(logged[class_name]) for class_name in largest}
    return weights


def _logged(folder: Path, prefix: str) -> dict[str, dict[int, float]]:
    try:
        return read_scalars(folder, prefix)
    except MissingInputError:  # trained without LocalVisBackend
        return {}


def _thinned(curve: Mapping[int, float]) -> list[list[float | None]]:
    """Steps and values."""
    steps = sorted(curve)
    parts = min(len(steps), MAX_POINTS)
    both = np.array([steps, [curve[step] for step in steps]], float)
    means = [part.mean(1) for part in np.array_split(both, parts, axis=1)]
    return [_rounded(row, COUNT, significant=True) for row in np.stack(means, 1)]


def _likelihoods(runs: Runs) -> list[list[float | None]]:
    of_runs = [run.likelihood for run in runs.values()]
    if any(of_run is None for of_run in of_runs):
        return []
    return [_rounded(100 * np.asarray(of_run), PERCENT) for of_run in of_runs]


def _rounded(values, digits: int, significant: bool = False) -> list[float | None]:
    """Plain numbers, ``None`` for NaN, which JSON does not have.

    Example:
        >>> _rounded([1.23456789, float('nan')], 4), _rounded([12345.678], 3, significant=True)
        ([1.2346, None], [12300.0])
    """
    numbers = (float(value) for value in values)
    return [
        None
        if not np.isfinite(number)
        else float(f'{number:.{digits}g}')
        if significant
        else round(number, digits)
        for number in numbers
    ]
