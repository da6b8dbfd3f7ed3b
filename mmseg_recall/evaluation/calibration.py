"""The two temperatures of an ``EnsembleHead``, chosen from its logits without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..functional import checks, recall_means, recall_scores

#: What temperatures can be chosen by. ``nll`` is to be low, the others high.
METRICS = ('top1', 'mean_recall', 'gmean_recall', 'hmean_recall', 'lowest_recall', 'nll')
#: Tried first for each temperature: 1/8 to 8, four steps an octave.
GRID = tuple(2 ** (step / 4) for step in range(-12, 13))
#: Tried then, times the best of the first: to the next on either side, sixteen steps an octave.
REFINEMENT = tuple(2 ** (step / 16) for step in range(-4, 5))
#: Number of bins of the expected calibration error.
BINS = 15
#: Number of probabilities in memory at a time.
CHUNK = 2**23


def best_temperatures(
    new: Tensor,
    old: Tensor,
    labels: Tensor,
    metric: str = 'hmean_recall',
    start: tuple[float, float] = (1.0, 1.0),
    progress: Callable[[Sequence], Iterable] = iter,
) -> tuple[float, float]:
    r"""Choose ``t_new`` and ``t_old`` of :class:`EnsembleHead` by a score of labelled images.

    Every pair of :data:`GRID` is tried, with the temperatures of ``start``, then every pair of the
    finer steps around the best one. Of pairs with the same score the one nearest to (1, 1) in
    octaves is chosen, so what makes no difference stays 1. The predictions of all pairs are
    computed from the probabilities of some images at a time, whatever their number.

    With ``nll`` each temperature is that of temperature scaling: the lowest mean of
    :math:`-\log p_y` of its classifier by itself.

    Args:
        new: Logits of the new classifier, (N, C), as ``EnsembleHead.logits`` gives them.
        old: Logits of the old classifier, (N, C).
        labels: Labels of the N images, int64.
        metric: One of :data:`METRICS`, see :func:`ensemble_scores`.
        start: Temperatures that the result is at least as good as.
        progress: Wraps the list of parts of the images, such as ``rich.progress.track``.

    Returns:
        ``t_new`` and ``t_old``.

    Raises:
        ValueError: If ``metric`` is unknown, shapes don't match, or a label is not in [0, C).

    Reference:
        Du and Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning, 2023,
        Sec. 3.4, 4.5.1 and Table 7 (pairs compared by their recalls); Guo et al., On Calibration
        of Modern Neural Networks, 2017 (temperature scaling, which it refers to).

    Examples:
        >>> new = torch.tensor([[1., 0.], [4., 0.], [0., 1.]])  # correct
        >>> old = torch.tensor([[0., 4.], [4., 0.], [0., 3.]])  # too sure of the first image
        >>> t_new, t_old = best_temperatures(new, old, torch.tensor([0, 0, 1]))
        >>> ensemble_scores(new, old, torch.tensor([0, 0, 1]), t_new, t_old)['top1']
        1.0
    """
    checks.choice('metric', metric, METRICS)
    _same_images(new, old, labels)
    t_new, t_old = (sorted({*GRID, temperature}) for temperature in start)
    best = _best_pair(new, old, labels, metric, t_new, t_old, progress)
    t_new, t_old = ([temperature * step for step in REFINEMENT] for temperature in best)
    return _best_pair(new, old, labels, metric, t_new, t_old, progress)


def ensemble_scores(
    new: Tensor, old: Tensor, labels: Tensor, t_new: float = 1.0, t_old: float = 1.0
) -> dict[str, float]:
    """How good the predictions of an :class:`EnsembleHead` are, and how well calibrated.

    Args:
        new: Logits of the new classifier, (N, C).
        old: Logits of the old classifier, (N, C).
        labels: Labels of the N images, int64.
        t_new: Temperature of the new classifier.
        t_old: Temperature of the old classifier.

    Returns:
        The ensemble's ``top1`` and the four ``..._recall`` of ``LongTailAccuracy``, as fractions,
        and its expected calibration error ``ece``; and ``nll``: the mean of -log p of the true
        class for each classifier by itself, averaged over the two.

    Raises:
        ValueError: If shapes don't match, or a label is not in [0, C).

    Reference:
        Du and Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning, 2023,
        Eq. 11-13.

    Examples:
        >>> logits = torch.tensor([[2., 0.], [0., 1.]])
        >>> scores = ensemble_scores(logits, logits, torch.tensor([0, 0]))
        >>> scores['top1'], scores['lowest_recall'], round(scores['ece'], 4)
        (0.5, 0.5, 0.4251)
    """
    _same_images(new, old, labels)
    confidence: list[Tensor] = []
    prediction: list[Tensor] = []
    for part_new, part_old in _parts(3, new, old):
        ensemble = ((part_new / t_new).softmax(1) + (part_old / t_old).softmax(1)) / 2
        part_confidence, part_prediction = ensemble.max(1)
        confidence.append(part_confidence)
        prediction.append(part_prediction)
    correct = torch.cat(prediction) == labels
    num_classes = new.shape[1]
    true_positive = labels[correct].bincount(minlength=num_classes)
    recalls = recall_scores(_recalls(true_positive, labels, num_classes))
    nll = (_nll(new, labels, [t_new]) + _nll(old, labels, [t_old])) / 2
    return dict(
        top1=correct.double().mean().item(),
        **{f'{name}_recall': value for name, value in recalls.items()},
        nll=nll.item(),
        ece=expected_calibration_error(torch.cat(confidence), correct),
    )


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = BINS) -> float:
    r"""How far the probabilities are from the share of correct predictions.

    .. math::
        \sum_b \frac{N_b}{N} \, |\text{mean confidence}_b - \text{accuracy}_b|

    over bins b of equal width, from (0, 1/bins] to (1 - 1/bins, 1].

    Args:
        confidence: Probabilities of the predicted classes, (N).
        correct: Whether the predictions are correct, bool (N).
        bins: Number of bins.

    Returns:
        In [0, 1]; 0 where every probability is as high as it should be.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, 2017, Eq. 3.

    Examples:
        >>> confidence = torch.tensor([0.8, 0.8, 0.6])
        >>> round(expected_calibration_error(confidence, torch.tensor([True, False, False])), 4)
        0.4
    """
    bin_of = (confidence.double() * bins).ceil().long().clamp(1, bins) - 1
    gaps = confidence.new_zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, bin_of, confidence.double() - correct.double())
    return (gaps.abs().sum() / len(confidence)).item()


def _best_pair(new, old, labels, metric, t_new, t_old, progress) -> tuple[float, float]:
    if metric == 'nll':
        scores = -(_nll(new, labels, t_new)[:, None] + _nll(old, labels, t_old))
    else:
        scores = _recalls_of_pairs(new, old, labels, metric, t_new, t_old, progress)
    octaves = [torch.tensor(tried, dtype=torch.float64).log2().abs() for tried in (t_new, t_old)]
    from_one = octaves[0][:, None] + octaves[1]
    from_one[scores < scores.max() - 1e-12] = torch.inf  # less is rounding
    row, column = divmod(from_one.argmin().item(), len(t_old))
    return t_new[row], t_old[column]


def _recalls_of_pairs(new, old, labels, metric, t_new, t_old, progress) -> Tensor:
    """The score of each pair, (len(t_new), len(t_old))."""
    num_classes = new.shape[1]
    true_positive = torch.zeros(len(t_new), len(t_old), num_classes, dtype=torch.float64)
    for part_new, part_old, target in progress(_parts(len(t_old) + 2, new, old, labels)):
        p_old = torch.stack([(part_old / t).softmax(1) for t in t_old])
        for of_pair, t in zip(true_positive, t_new):
            prediction = (p_old + (part_new / t).softmax(1)).argmax(2)
            of_pair.index_add_(1, target, (prediction == target).double())
    if metric == 'top1':
        return true_positive.sum(2) / len(labels)
    name = metric.removesuffix('_recall')
    return recall_means(_recalls(true_positive, labels, num_classes))[name]


def _recalls(true_positive: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The recall of each class, (..., C), NaN without images."""
    return true_positive / labels.bincount(minlength=num_classes).double()


def _nll(logits: Tensor, labels: Tensor, temperatures: Sequence[float]) -> Tensor:
    """The mean -log p of the true class for one classifier at each of the temperatures."""
    total = torch.zeros(len(temperatures), dtype=torch.float64)
    for part, target in _parts(2, logits, labels):
        for i, t in enumerate(temperatures):
            total[i] += F.cross_entropy(part / t, target, reduction='none').double().sum()
    return total / len(labels)


def _parts(copies: int, logits: Tensor, *others: Tensor) -> list[tuple[Tensor, ...]]:
    """Some images at a time, so that ``copies`` of their probabilities fit."""
    size = max(1, CHUNK // (copies * logits.shape[1]))
    return list(zip(*(tensor.split(size) for tensor in (logits, *others))))


def _same_images(new: Tensor, old: Tensor, labels: Tensor) -> None:
    if new.ndim != 2 or new.shape != old.shape or labels.shape != new.shape[:1] or not len(labels):
        raise ValueError(
            'new and old must have shape (N, C) and labels (N), N at least 1, but got '
            f'{tuple(new.shape)}, {tuple(old.shape)} and {tuple(labels.shape)}'
        )
    num_classes = new.shape[1]
    wrong = labels[(labels < 0) | (labels >= num_classes)].unique().tolist()
    if wrong:
        raise ValueError(f'labels must be in [0, {num_classes}), but got {wrong}')
