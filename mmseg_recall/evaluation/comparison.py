"""Several models on the same images: their scores, and how sure their differences are."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from ..files import InputError
from ..functional import checks, recall_means

CONFIDENCE = 95
"""Confidence of the intervals, in percent."""

BLOCK = 250
"""Resamples drawn at a time, so that the memory does not grow with their number."""


@dataclass(frozen=True)
class ImageTotals:
    """The totals of each image and class, from which scores over any choice of images follow.

    For classification an image is one position. The arrays have an entry for each pair of an image
    and a class that is in it or predicted in it, in the order of the images.

    Attributes:
        task ('segmentation' or 'classification'): Which scores are of interest.
        classes (list[str]): Class names, by label, each once.
        num_images (int): n.
        image (numpy.ndarray): ``(K,)`` the image of each entry, in [0, n).
        label (numpy.ndarray): ``(K,)`` its class.
        true_positive (numpy.ndarray): ``(K,)`` positions of the class that are predicted as it.
        predicted (numpy.ndarray): ``(K,)`` positions predicted as the class.
        support (numpy.ndarray): ``(K,)`` positions of the class.
        groups (dict[str, list[int]]): Labels of many-, medium- and few-shot classes, where known.
    """

    task: Literal['segmentation', 'classification']
    classes: list[str]
    num_images: int
    image: np.ndarray
    label: np.ndarray
    true_positive: np.ndarray
    predicted: np.ndarray
    support: np.ndarray
    groups: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of_areas(cls, classes: list[str], areas: np.ndarray) -> ImageTotals:
        """Make the totals from the pixels of each image and class.

        Args:
            classes (list[str]): Names of the C classes.
            areas (numpy.ndarray): ``(n, 3, C)`` counts: true positive, predicted, support.
        """
        areas = np.asarray(areas)
        image, label = areas[:, 1:].any(axis=1).nonzero()
        rows = areas[image, :, label].astype(np.int64).T
        return cls('segmentation', classes, len(areas), image, label, *rows)

    @classmethod
    def of_labels(
        cls, classes: list[str], label: Sequence[int], prediction: Sequence[int], groups=None
    ) -> ImageTotals:
        """Make the totals from the class of each image, and the one predicted for it.

        Args:
            classes (list[str]): Names of the C classes.
            label (Sequence[int]): n labels.
            prediction (Sequence[int]): n predicted labels.
            groups (dict[str, list[int]], optional): See the attribute.

        Example:
            >>> ImageTotals.of_labels(['robin', 'ibis'], [0, 1, 1], [0, 0, 1]).sums().tolist()
            [[[1.0, 1.0]], [[2.0, 1.0]], [[1.0, 2.0]]]
        """
        label, prediction = np.asarray(label, np.int64), np.asarray(prediction, np.int64)
        correct = label == prediction
        # An entry for the class of each image, and one for a class wrongly predicted in it.
        wrong = (~correct).nonzero()[0]
        ones, zeros = np.ones_like(wrong), np.zeros_like(wrong)
        entries = np.stack(
            [
                np.concatenate([np.arange(len(correct)), wrong]),
                np.concatenate([label, prediction[wrong]]),
                np.concatenate([correct, zeros]),
                np.concatenate([correct, ones]),
                np.concatenate([np.ones_like(label), zeros]),
            ]
        )
        entries = entries[:, entries[0].argsort(kind='stable')]
        return cls('classification', classes, len(correct), *entries, groups=groups or {})

    def shares(self) -> dict[str, float]:
        """Each class's share of the labelled positions.

        Example:
            >>> ImageTotals.of_labels(['robin', 'ibis'], [0, 1, 1, 1], [0, 0, 1, 1]).shares()
            {'robin': 0.25, 'ibis': 0.75}
        """
        support = self.sums()[2, 0]
        return dict(zip(self.classes, (support / max(1, support.sum())).tolist()))

    def sums(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The totals over the images.

        Args:
            weights (numpy.ndarray, optional): ``(B, n)``: how often each image counts, in each of
                B choices. By default all images count once.

        Returns:
            numpy.ndarray: ``(3, B, C)`` float64: true positive, predicted, support.
        """
        if weights is None:
            weights = np.ones((1, self.num_images))
        size = len(self.classes)
        rows = np.concatenate([self.label + kind * size for kind in range(3)])
        totals = torch.sparse_coo_tensor(
            torch.from_numpy(np.stack([rows, np.tile(self.image, 3)])),
            torch.from_numpy(
                np.concatenate([self.true_positive, self.predicted, self.support]).astype(float)
            ),
            (3 * size, self.num_images),
            check_invariants=True,
        )
        summed = totals @ torch.from_numpy(np.asarray(weights, float).T.copy())
        return summed.numpy().reshape(3, size, -1).transpose(0, 2, 1)


def scores(totals: ImageTotals, weights: np.ndarray | None = None) -> dict[tuple, np.ndarray]:
    r"""Scores over any choices of the images, in percent.

    For segmentation those of MMSegmentation's ``IoUMetric``: IoU :math:`TP_c / (M_c + N_c - TP_c)`
    and accuracy :math:`TP_c / N_c` of each class, their means, and the accuracy over all pixels;
    for classification the recall :math:`TP_c / N_c` of each class, the accuracy over all images
    and the mean recall of many-, medium- and few-shot classes. For both the means that rare
    classes decide, see :func:`mmseg_recall.functional.recall_scores`.

    Args:
        totals (ImageTotals): The totals of the images.
        weights (numpy.ndarray, optional): ``(B, n)``: how often each image counts; by default once.

    Returns:
        dict[tuple[str, str], numpy.ndarray]: ``(B,)`` by score and class name, ``''`` for a score
        over classes; NaN where the class, or every class, does not occur.

    Example:
        >>> totals = ImageTotals.of_labels(['robin', 'ibis'], [0, 1, 1], [0, 0, 1])
        >>> {name: float(value[0]) for name, value in scores(totals).items() if name[1]}
        {('recall', 'robin'): 100.0, ('recall', 'ibis'): 50.0}
    """
    true_positive, predicted, support = totals.sums(weights)
    with np.errstate(invalid='ignore'):  # 0/0 is NaN, and counts nowhere
        recall = true_positive / support
        iou = true_positive / (predicted + support - true_positive)
        accuracy = true_positive.sum(1) / support.sum(1)
        means = _means(recall)
        if totals.task == 'segmentation':
            values = {'mIoU': _means(iou)['mean'], 'mAcc': means['mean'], 'aAcc': accuracy}
            per_class = {'IoU': iou, 'Acc': recall}
        else:
            values = {'top1': accuracy}
            for name, labels in totals.groups.items():
                values[name] = _means(recall[:, labels])['mean']
            values['mean recall'] = means['mean']
            per_class = {'recall': recall}
        values |= {f'{name} recall': means[name] for name in ('gmean', 'hmean', 'lowest')}
    percentages = {(name, ''): 100 * value for name, value in values.items()}
    for kind, columns in per_class.items():
        for name, column in zip(totals.classes, columns.T):
            percentages[kind, name] = 100 * column
    return percentages


def distinct_names(names: Sequence) -> list[str]:
    """Class names with the label behind those that several classes have: ImageNet has some.

    Example:
        >>> distinct_names(['crane', 'robin', 'crane'])
        ['crane (0)', 'robin', 'crane (2)']
    """
    count = Counter(map(str, names))
    return [
        f'{name} ({label})' if count[str(name)] > 1 else str(name)
        for label, name in enumerate(names)
    ]


def _means(values: np.ndarray) -> dict[str, np.ndarray]:
    """The means of each row over what is not NaN."""
    return {name: mean.numpy() for name, mean in recall_means(torch.from_numpy(values)).items()}


@dataclass(frozen=True)
class Difference:
    """A run's score less that of the first run, and its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether 0 is outside the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """A score of every run.

    Attributes:
        score (str): Its name.
        class_name (str): The name of its class, ``''`` for a score over classes.
        values (list[float]): In percent, for each run.
        differences (list[Difference]): For each run but the first.
    """

    score: str
    class_name: str
    values: list[float]
    differences: list[Difference]


@dataclass(frozen=True)
class Comparison:
    """Scores of several runs on the same images.

    Attributes:
        runs (list[str]): Names, the baseline first.
        num_images (int): Images they were scored on.
        resamples (int): Number of resamples of the bootstrap.
        rows (list[Row]): Scores over classes, then those of each class.
    """

    runs: list[str]
    num_images: int
    resamples: int
    rows: list[Row]

    @property
    def note(self) -> str:
        """What the numbers of the table are."""
        text = f'Scores in percent on {self.num_images} validation images.'
        if len(self.runs) < 2:
            return text
        return (
            f'{text} Differences are from {self.runs[0]}; in brackets their {CONFIDENCE} % '
            f'intervals, from {self.resamples} resamples of the images; * where 0 is outside. They '
            'say how much depends on which images were scored, not how much another seed of the '
            'training would change; and of 20 intervals about one misses by chance.'
        )

    def markdown(self) -> str:
        """The table in Markdown."""
        first, *others = map(_escaped, self.runs)
        heading = ['score', 'class', first]
        for run in others:
            heading += [run, f'{run} - {first}']
        lines = [heading, ['---', '---', *['---:'] * (len(heading) - 2)]]
        for row in self.rows:
            cells = [row.score, _escaped(row.class_name), percent(row.values[0])]
            for value, difference in zip(row.values[1:], row.differences):
                cells += [percent(value), interval(difference)]
            lines.append(cells)
        table = '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
        return f'{table}\n\n{self.note}\n'

    def csv(self) -> str:
        """The table in CSV: a line for each score, class and run."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        writer.writerow(['score', 'class', 'run', 'value', 'difference', 'low', 'high'])
        for row in self.rows:
            spans = [[d.value, d.low, d.high] for d in row.differences]
            for run, value, span in zip(self.runs, row.values, [[''] * 3, *spans]):
                numbers = [f'{number:.4f}' if number != '' else '' for number in (value, *span)]
                writer.writerow([row.score, row.class_name, run, *numbers])
        return text.getvalue()


def compare(runs: Mapping[str, ImageTotals], resamples: int = 2000, seed: int = 0) -> Comparison:
    r"""Score several runs on the same images, with intervals of their differences from the first.

    The intervals are percentile intervals of the paired bootstrap: n images are drawn with
    replacement, the same for all runs, both runs are scored on them, and of ``resamples`` such
    differences the middle 95 % are the interval.

    Args:
        runs (Mapping[str, ImageTotals]): The totals of each run, the baseline first.
        resamples (int): How often to draw, at least 1.
        seed (int): Seed of the draws.

    Returns:
        Comparison: A table.

    Raises:
        InputError: A ``ValueError``, if there is no run, there are fewer than two images, or the
            runs' classes, images or the images' labels differ.
        ValueError: If ``resamples`` is not an integer of at least 1.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, Ch. 13.

    Example:
        >>> labels = [0] * 6 + [1] * 4
        >>> better = ImageTotals.of_labels(['robin', 'ibis'], labels, labels)
        >>> baseline = ImageTotals.of_labels(['robin', 'ibis'], labels, [0] * 10)
        >>> table = compare({'CE': baseline, 'Recall': better}, resamples=100)
        >>> table.rows[0].score, table.rows[0].values, table.rows[0].differences[0].value
        ('top1', [60.0, 100.0], 40.0)
    """
    checks.integer('resamples', resamples, low=1)
    _check(runs)
    names, totals = list(runs), list(runs.values())
    values = [scores(run) for run in totals]
    spans = _intervals(totals, resamples, seed) if len(names) > 1 else {}
    rows = []
    for key in values[0]:
        of_runs = [run[key].item() for run in values]
        differences = [
            Difference(value - of_runs[0], low, high)
            for value, (low, high) in zip(of_runs[1:], spans.get(key, []))
        ]
        rows.append(Row(*key, of_runs, differences))
    return Comparison(names, totals[0].num_images, resamples, rows)


def _intervals(runs: list[ImageTotals], resamples: int, seed: int) -> dict[tuple, list]:
    """For each score the interval of each run's difference from the first run."""
    blocks = []
    for weights in _resampled(runs[0].num_images, resamples, seed):
        first, *others = (scores(run, weights) for run in runs)
        blocks.append([{key: other[key] - first[key] for key in first} for other in others])
    return {
        key: [
            _middle(np.concatenate([block[run][key] for block in blocks]))
            for run in range(len(runs) - 1)
        ]
        for key in blocks[0][0]
    }


def _middle(values: np.ndarray) -> list[float]:
    """Where the middle of the values begins and ends; draws without the class gave NaN."""
    values = values[~np.isnan(values)]
    tail = (100 - CONFIDENCE) / 2
    return np.percentile(values, [tail, 100 - tail]).tolist() if len(values) else [np.nan] * 2


def _resampled(num_images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is drawn, ``(B, n)`` at a time."""
    random = np.random.default_rng(seed)
    equal = np.full(num_images, 1 / num_images)
    for start in range(0, resamples, BLOCK):
        yield random.multinomial(num_images, equal, size=min(BLOCK, resamples - start))


def _check(runs: Mapping[str, ImageTotals]) -> None:
    if not runs:
        raise InputError('runs must hold at least one run, got none')
    (first, baseline), *others = runs.items()
    if baseline.num_images < 2:
        raise InputError(
            f'{first} was scored on {baseline.num_images} image: an interval over images needs at '
            'least 2'
        )
    for name, totals in others:
        if (totals.task, totals.classes) != (baseline.task, baseline.classes):
            raise InputError(
                f'runs must have the same classes, but {first} ({baseline.task}) has '
                f'{_listed(baseline.classes)} and {name} ({totals.task}) has '
                f'{_listed(totals.classes)}'
            )
        if not _same_truth(baseline, totals):
            raise InputError(
                f'runs must be scored on the same images, but those of {first} '
                f'({baseline.num_images}) and {name} ({totals.num_images}) differ in number, order '
                'or labels'
            )


def _same_truth(first: ImageTotals, second: ImageTotals) -> bool:
    """Whether each image has as much of each class in both."""
    if first.num_images != second.num_images:
        return False
    truths = []
    for run in (first, second):
        labelled = run.support > 0
        truths.append(np.stack([run.image, run.label, run.support])[:, labelled])
    return np.array_equal(*truths)


def _listed(classes: list[str]) -> str:
    return f'{len(classes)} classes ({", ".join(classes[:12])}{", ..." * (len(classes) > 12)})'


def percent(value: float) -> str:
    """A score as the tables have it.

    Example:
        >>> percent(12.345), percent(float('nan'))
        ('12.35', '-')
    """
    return '-' if np.isnan(value) else f'{value:.2f}'


def interval(difference: Difference) -> str:
    """A difference as the tables have it.

    Example:
        >>> interval(Difference(1.5, 0.25, 2.75))
        '+1.50 [+0.25, +2.75] *'
    """
    if np.isnan(difference.value):
        return '-'
    star = ' *' if difference.clear else ''
    return f'{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]{star}'


def _escaped(name: str) -> str:
    """A name as it is: what Markdown would read as a mark gets a backslash."""
    return re.sub(r'[\\`*|<>]|_(?!\w)|(?<!\w)_', r'\\\g<0>', name)
