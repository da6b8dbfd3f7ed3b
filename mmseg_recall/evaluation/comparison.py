"""Several models on the same images: their scores, and how sure their differences are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from scipy.stats import false_discovery_control
from torch import Tensor

from ..files import InputError
from ..functional import checks
from .image_totals import ImageTotals, scores, scores_of_sums
from .intervals import CONFIDENCE, Bootstrap, bootstrap, paired_means

MIN_IMAGES = 3
"""Images of equal influence that must decide a difference, or it has no interval."""

MAX_BIAS = 0.25
"""Bias of the resamples in their standard deviations above which there is no interval."""

MIN_CLASS_IMAGES = 20
"""Images that each class must be in, or means have no interval where images are drawn from all."""

MIN_RECALLED = 10
"""Images in which each class must be recalled, or geometric and harmonic mean have no interval."""

Key = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """A run's score less that of the first run, and how sure it is.

    Attributes:
        value (float): The difference.
        low (float): Where its confidence interval begins; NaN without one.
        high (float): Where it ends.
        no_interval (str): Why there is no interval, in words.
        p_value (float): 1 - the confidence at which the interval would touch 0; NaN without one.
        clear (bool): Whether it is significant after the correction for the number of rows.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    no_interval: str = ''
    p_value: float = np.nan
    clear: bool = False


@dataclass(frozen=True)
class Row:
    """A score of every run.

    Attributes:
        score (str): Its name.
        class_name (str): The name of its class, ``''`` for a score over classes.
        values (list[float]): In percent, for each run: the mean over its trainings.
        differences (list[Difference]): For each run but the first.
        deviations (list[float]): For each run the standard deviation over its trainings; NaN for
            one training.
    """

    score: str
    class_name: str
    values: list[float]
    differences: list[Difference]
    deviations: list[float] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The values as the tables have them."""
        if not self.deviations:
            return [percent(value) for value in self.values]
        return [percent(*both) for both in zip(self.values, self.deviations)]


@dataclass(frozen=True)
class Comparison:
    """Scores of several runs on the same images.

    Attributes:
        runs (list[str]): Names, the baseline first.
        num_images (int): Images they were scored on.
        resamples (int): Number of resamples of the bootstrap.
        rows (list[Row]): Scores over classes, then those of each class.
        trainings (list[int]): How many trainings (of different seeds) each run has.
        within_classes (bool): Whether the images of each class were resampled by themselves.
    """

    runs: list[str]
    num_images: int
    resamples: int
    rows: list[Row]
    trainings: list[int] = field(default_factory=list)
    within_classes: bool = False

    @property
    def note(self) -> str:
        """What the numbers of the table are."""
        text = f'Scores in percent on {self.num_images} validation images.'
        if max(self.trainings, default=1) > 1:
            seeds = ', '.join(f'{run} {n}' for run, n in zip(self.runs, self.trainings))
            text += f' Mean ± standard deviation over trainings of other seeds ({seeds}).'
        if len(self.runs) < 2:
            return text
        drawn = 'the images of each class' if self.within_classes else 'the images'
        of_recalls = any(row.score == 'recall' for row in self.rows)
        wald = "; adjusted Wald for a class's recall" if of_recalls else ''
        tests = sum(not np.isnan(d.p_value) for row in self.rows for d in row.differences)
        return (
            f'{text} Differences are from {self.runs[0]}; in brackets their {CONFIDENCE} % '
            f'intervals over the choice of images (BCa bootstrap, {self.resamples} resamples of '
            f'{drawn}{wald}), or why none is '
            "valid. * marks what is significant after Benjamini and Hochberg's correction for the "
            f'{tests} tests of the table: at most about {100 - CONFIDENCE} % of the marks are '
            'there by chance. Intervals and marks hold for these trainings; they do not say how '
            'much another seed would change.'
        )

    def per_class(self) -> dict[str, dict[str, dict[str, float]]]:
        """The scores of each class, by run, score and class name."""
        scores: dict[str, dict[str, dict[str, float]]] = {run: {} for run in self.runs}
        for row in self.rows:
            if row.class_name:
                for run, value in zip(self.runs, row.values):
                    scores[run].setdefault(row.score, {})[row.class_name] = value
        return scores

    def markdown(self) -> str:
        """The table in Markdown."""
        first, *others = map(_escaped, self.runs)
        heading = ['score', 'class', first]
        for run in others:
            heading += [run, f'{run} - {first}']
        lines = [heading, ['---', '---', *['---:'] * (len(heading) - 2)]]
        for row in self.rows:
            cells = [row.score, _escaped(row.class_name), row.texts[0]]
            for text, difference in zip(row.texts[1:], row.differences):
                cells += [text, interval(difference)]
            lines.append(cells)
        table = '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
        return f'{table}\n\n{self.note}\n'

    def csv(self) -> str:
        """The table in CSV: a line for each score, class and run."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        numbers = ['value', 'deviation', 'difference', 'low', 'high', 'p_value']
        writer.writerow(['score', 'class', 'run', *numbers, 'significant', 'no_interval'])
        for row in self.rows:
            deviations = row.deviations or [np.nan] * len(self.runs)
            differences = [Difference(np.nan), *row.differences]
            for run, *value, d in zip(self.runs, row.values, deviations, differences):
                cells = [*value, d.value, d.low, d.high, d.p_value]
                texts = ['' if np.isnan(cell) else f'{cell:.4f}' for cell in cells]
                about = ['' if np.isnan(d.p_value) else d.clear, d.no_interval]
                writer.writerow([row.score, row.class_name, run, *texts, *about])
        return text.getvalue()


def compare(
    runs: Mapping[str, ImageTotals | Sequence[ImageTotals]], resamples: int = 2000, seed: int = 0
) -> Comparison:
    r"""Score several runs on the same images, with intervals of their differences from the first.

    Images are drawn, the same for all runs, and both runs are scored on them, see
    :func:`mmseg_recall.evaluation.intervals.bootstrap`: within each class where a classification
    data set is balanced (no class has more than twice the images of another), else from all images.
    The recall of a class in classification has an interval in closed form, see
    :func:`mmseg_recall.evaluation.intervals.paired_means`. In simulations these intervals hold the
    true difference at least 90 times in 100, where images are independent of each other (frames of
    one video are not: there they are too narrow). There is none for

    - the lowest recall;
    - geometric and harmonic mean where a class is recalled in fewer than :data:`MIN_RECALLED`
      images;
    - means over classes one of which is in fewer than :data:`MIN_CLASS_IMAGES` images, where images
      are drawn from all;
    - differences that fewer than :data:`MIN_IMAGES` images make, or whose resamples are off by more
      than :data:`MAX_BIAS` of their standard deviation.

    Args:
        runs (Mapping[str, ImageTotals or Sequence[ImageTotals]]): The totals of each run, the
            baseline first; of several trainings with different seeds a list. Their mean is
            compared.
        resamples (int): How often to draw, at least 1.
        seed (int): Seed of the draws.

    Returns:
        Comparison: A table.

    Raises:
        InputError: A ``ValueError``, if there is no run, or a run without trainings, there are
            fewer than two images, or the runs' classes, images or the images' labels differ.
        ValueError: If ``resamples`` is not an integer of at least 1.

    Reference:
        Benjamini and Hochberg, Controlling the False Discovery Rate, 1995 (``clear``).

    Example:
        >>> labels = [0] * 60 + [1] * 40
        >>> better = ImageTotals.of_labels(['robin', 'ibis'], labels, labels)
        >>> baseline = ImageTotals.of_labels(['robin', 'ibis'], labels, [0] * 90 + [1] * 10)
        >>> table = compare({'CE': baseline, 'Recall': better}, resamples=100)
        >>> table.rows[0].score, table.rows[0].values, table.rows[0].differences[0].value
        ('top1', [70.0, 100.0], 30.0)
    """
    checks.integer('resamples', resamples, low=1)
    groups = {
        name: [run] if isinstance(run, ImageTotals) else list(run) for name, run in runs.items()
    }
    _check(groups)
    trainings = list(groups.values())
    values = [[scores(training) for training in of_run] for of_run in trainings]
    keys = list(values[0][0])
    strata, within_classes = _strata(trainings[0][0])
    differences: list[dict[Key, Difference]] = []
    if len(trainings) > 1:
        resampled = _bootstrapped(trainings, strata, resamples, seed)
        differences = _differences(trainings, keys, resampled, within_classes)
    rows = []
    for key in keys:
        of_runs = [np.array([of_one[key].item() for of_one in of_run]) for of_run in values]
        means = [of_run.mean().item() for of_run in of_runs]
        deviations = [of.std(ddof=1).item() if len(of) > 1 else np.nan for of in of_runs]
        spans = [replace(d[key], value=mean - means[0]) for mean, d in zip(means[1:], differences)]
        rows.append(Row(key[0], key[1], means, spans, deviations))
    sizes = [len(of_run) for of_run in trainings]
    return Comparison(list(groups), len(strata), resamples, _marked(rows), sizes, within_classes)


def _strata(totals: ImageTotals) -> tuple[np.ndarray, bool]:
    """From which images each image is drawn, and whether from those of its class."""
    if totals.task == 'classification':
        _, strata, size = np.unique(totals.labels(), return_inverse=True, return_counts=True)
        if size.min() >= 2 and size.max() <= 2 * size.min():
            return strata, True
    return np.zeros(totals.num_images, int), False


def _bootstrapped(
    runs: list[list[ImageTotals]], strata: np.ndarray, resamples: int, seed: int
) -> Bootstrap:
    """Intervals of the differences of all runs from the first, one after the other."""
    first = runs[0][0]
    sizes = [len(trainings) * 3 * len(first.classes) for trainings in runs]

    def statistic(sums: Tensor) -> Tensor:
        before, *after = (_resampled_scores(first, of_run) for of_run in sums.split(sizes, 1))
        return torch.cat([of_run - before for of_run in after], 1)

    totals = torch.cat([training.matrix() for trainings in runs for training in trainings])
    return bootstrap(totals.coalesce(), statistic, strata, resamples, seed)


def _resampled_scores(totals: ImageTotals, sums: Tensor) -> Tensor:
    """The scores whose intervals come from resamples, means over trainings, ``(B, K)``.

    Args:
        totals (ImageTotals): Those of any run.
        sums (Tensor): ``(B, trainings * 3 * C)``: those of each training.
    """
    sums = sums.view(len(sums), -1, 3, len(totals.classes))
    of_trainings = []
    for training in sums.unbind(1):
        means, per_class = scores_of_sums(totals, *training.unbind(1))
        columns = [torch.stack(list(means.values()), 1)]
        if totals.task == 'segmentation':
            columns += per_class.values()
        of_trainings.append(torch.cat(columns, 1))
    return torch.stack(of_trainings).mean(0)


def _differences(
    runs: list[list[ImageTotals]], keys: list[Key], resampled: Bootstrap, within_classes: bool
) -> list[dict[Key, Difference]]:
    """How sure each run's difference from the first is, by score and class."""
    baseline, *others = runs
    classification = baseline[0].task == 'classification'
    numbers = np.stack([getattr(resampled, f.name) for f in fields(resampled)], 1)
    differences = []
    for trainings, of_run in zip(others, np.split(numbers, len(others))):
        reasons = _no_interval(baseline + trainings, within_classes)
        of_keys = _recall_differences(baseline, trainings) if classification else {}
        for key, row in zip([key for key in keys if key not in of_keys], of_run):
            of_keys[key] = _resampled_difference(reasons.get(key, ''), *row)
        differences.append(of_keys)
    return differences


def _resampled_difference(reason: str, low, high, p_value, bias, images) -> Difference:
    if not reason and not images >= MIN_IMAGES:
        reason = _deciding(int(np.nan_to_num(images)))
    if not reason and not abs(bias) <= MAX_BIAS:
        reason = 'the resamples are biased'
    if reason:
        return Difference(np.nan, no_interval=reason)
    return Difference(np.nan, low, high, p_value=p_value)


def _no_interval(trainings: list[ImageTotals], within_classes: bool) -> dict[Key, str]:
    """Why scores have no interval, as far as the numbers of images say it."""
    first = trainings[0]
    support, predicted, recalled = (
        np.stack([training.images_of_classes(kind) for training in trainings])
        for kind in ('support', 'predicted', 'true_positive')
    )
    present, ever_predicted = support[0] > 0, predicted.max(0) > 0
    reasons = {('lowest recall', ''): 'it is a minimum'}
    rarest = recalled.min(0)[present].min(initial=MIN_RECALLED)
    if rarest < MIN_RECALLED:
        reason = f'a class is recalled in {_few(rarest)}'
        reasons |= {(f'{mean} recall', ''): reason for mean in ('gmean', 'hmean')}
    if within_classes:
        return reasons
    images = support[0]
    needed = [(name, 'is', images[labels]) for name, labels in first.groups.items()]
    of_recalls = ('mAcc', 'mean recall', 'gmean recall', 'hmean recall')
    needed += [(mean, 'is', images[present]) for mean in of_recalls]
    needed += [('mIoU', 'is', images[present | ever_predicted])]
    needed += [('mean precision', 'is', images[ever_predicted])]
    needed += [('mean precision', 'is predicted', predicted.min(0)[ever_predicted])]
    for mean, verb, of_classes in needed:
        rarest = of_classes.min(initial=MIN_CLASS_IMAGES)
        if rarest < MIN_CLASS_IMAGES:
            reasons.setdefault((mean, ''), f'a class {verb} in {_few(rarest)}')
    return reasons


def _deciding(images: int) -> str:
    if not images:
        return 'no image makes a difference'
    return f'{_few(images)} {"makes" if images == 1 else "make"} the difference'


def _few(images: int) -> str:
    return {0: 'no image', 1: 'only 1 image'}.get(images, f'only {images} images')


def _recall_differences(
    baseline: list[ImageTotals], trainings: list[ImageTotals]
) -> dict[Key, Difference]:
    """Differences of each class's recall in classification."""
    before, after = (np.mean([t.correct() for t in run], 0) for run in (baseline, trainings))
    present, strata = np.unique(baseline[0].labels(), return_inverse=True)
    low, high, p_value = paired_means(after - before, strata)
    differences = {('recall', name): Difference(np.nan) for name in baseline[0].classes}
    for row, label in enumerate(present):
        differences['recall', baseline[0].classes[label]] = Difference(
            np.nan, 100 * low[row], 100 * high[row], p_value=p_value[row]
        )
    return differences


def _marked(rows: list[Row]) -> list[Row]:
    """The rows with those differences marked that are clear among so many."""
    p_values = np.array([d.p_value for row in rows for d in row.differences])
    tested = ~np.isnan(p_values)
    clear = np.zeros(len(p_values), bool)
    if tested.any():
        adjusted = false_discovery_control(p_values[tested])
        clear[tested] = adjusted < 1 - CONFIDENCE / 100
    marks = iter(clear.tolist())
    return [
        replace(row, differences=[replace(d, clear=next(marks)) for d in row.differences])
        for row in rows
    ]


def _check(groups: Mapping[str, list[ImageTotals]]) -> None:
    if not groups:
        raise InputError('runs must hold at least one run, got none')
    empty = [name for name, trainings in groups.items() if not trainings]
    if empty:
        raise InputError(f'runs must hold at least one training each, but {empty[0]} has none')
    (first, baseline), *others = (
        (name, training) for name, trainings in groups.items() for training in trainings
    )
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


def percent(value: float, deviation: float = np.nan) -> str:
    """A score as the tables have it.

    Example:
        >>> percent(12.345), percent(12.345, 0.5), percent(float('nan'))
        ('12.35', '12.35 ± 0.50', '-')
    """
    if np.isnan(value):
        return '-'
    return f'{value:.2f}' if np.isnan(deviation) else f'{value:.2f} ± {deviation:.2f}'


def interval(difference: Difference) -> str:
    """A difference as the tables have it.

    Example:
        >>> interval(Difference(1.5, 0.25, 2.75, clear=True))
        '+1.50 [+0.25, +2.75] *'
        >>> interval(Difference(1.5, no_interval='it is a minimum'))
        '+1.50 (no interval: it is a minimum)'
    """
    if np.isnan(difference.value):
        return '-'
    if difference.no_interval:
        return f'{difference.value:+.2f} (no interval: {difference.no_interval})'
    star = ' *' if difference.clear else ''
    return f'{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]{star}'


def _escaped(name: str) -> str:
    """A name as it is: what Markdown would read as a mark gets a backslash."""
    return re.sub(r'[\\`*|<>]|_(?!\w)|(?<!\w)_', r'\\\g<0>', name)
