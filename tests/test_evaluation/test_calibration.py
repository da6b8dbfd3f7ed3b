"""The search for two temperatures: known optima, and plain loops in float64."""

import itertools
import math

import numpy as np
import pytest
import torch

pytest.importorskip('mmpretrain')

from scipy.optimize import minimize_scalar

from mmseg_recall.evaluation import calibration
from mmseg_recall.evaluation.calibration import (
    GRID,
    METRICS,
    best_temperatures,
    ensemble_scores,
    expected_calibration_error,
)

SCOPE = 'mmpretrain'

#: Half a step of the refinement, in octaves.
RESOLUTION = 1 / 32
CLASSES = 4


def calibrated(num_images=4000, seed=0):
    """Logits whose softmax is the distribution of the labels, and other logits about as good."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_images, CLASSES, generator=generator)
    labels = logits.softmax(1).multinomial(1, generator=generator)[:, 0]
    return logits, logits + torch.randn(num_images, CLASSES, generator=generator), labels


def nll(logits, labels, temperature):
    scaled = logits.double().numpy() / temperature
    log_sum = np.log(np.exp(scaled).sum(1))
    return (log_sum - scaled[np.arange(len(labels)), labels]).mean()


def recalls(new, old, labels, t_new, t_old):
    """In float64, image after image."""
    hits = [[] for _ in range(CLASSES)]
    for z_new, z_old, label in zip(new.tolist(), old.tolist(), labels.tolist()):
        mean = np.zeros(CLASSES)
        for z, t in ((z_new, t_new), (z_old, t_old)):
            exponentials = [math.exp(value / t) for value in z]
            mean += np.array(exponentials) / sum(exponentials) / 2
        hits[label].append(mean.argmax() == label)
    return [sum(of_class) / len(of_class) for of_class in hits], sum(map(sum, hits)) / len(labels)


def reference(*arguments):
    per_class, top1 = recalls(*arguments)
    above_zero = [recall or 1e-3 for recall in per_class]
    return dict(
        top1=top1,
        mean_recall=sum(per_class) / CLASSES,
        gmean_recall=math.prod(above_zero) ** (1 / CLASSES),
        hmean_recall=CLASSES / sum(1 / recall for recall in above_zero),
        lowest_recall=min(per_class),
    )


@pytest.mark.parametrize(('too_large_new', 'too_large_old'), [(3.0, 0.4), (1.0, 5.5)])
def test_nll_finds_each_temperature(too_large_new, too_large_old):
    logits, other, labels = calibrated()
    new, old = too_large_new * logits, too_large_old * other
    chosen = best_temperatures(new, old, labels, 'nll')
    for temperature, of in zip(chosen, (new, old)):
        optimum = minimize_scalar(
            lambda log, z: nll(z, labels, math.exp(log)), bracket=(-1, 1), args=(of,), tol=1e-8
        )
        assert abs(math.log2(temperature / math.exp(optimum.x))) <= 1.1 * RESOLUTION
    # The labels are drawn from the softmax of `logits`.
    assert math.log2(chosen[0] / too_large_new) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize('metric', [metric for metric in METRICS if metric != 'nll'])
def test_no_pair_of_the_grid_is_better(metric, monkeypatch):
    monkeypatch.setattr(calibration, 'GRID', GRID[::6])
    # Uneven parts of the images.
    monkeypatch.setattr(calibration, 'CHUNK', 1000)
    logits, other, labels = calibrated(60, seed=3)
    new, old = 2 * logits, 0.3 * other
    chosen = best_temperatures(new, old, labels, metric)
    best = reference(new, old, labels, *chosen)[metric]
    assert ensemble_scores(new, old, labels, *chosen)[metric] == pytest.approx(best)
    pairs = list(itertools.product(GRID[::6], repeat=2))
    assert len(pairs) == 25 and (1, 1) in pairs
    of_pairs = [reference(new, old, labels, *pair)[metric] for pair in pairs]
    assert best >= max(of_pairs) > min(of_pairs)


def test_a_ratio_that_is_right():
    """Of two classes the surer classifier wins: t_old / t_new must be from 3 to 4."""
    new = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    old = torch.tensor([[0.0, 3.0], [0.0, 4.0]])
    labels = torch.tensor([0, 1])
    assert ensemble_scores(new, old, labels)['top1'] == 0.5
    t_new, t_old = best_temperatures(new, old, labels)
    assert 3 < t_old / t_new < 4
    assert ensemble_scores(new, old, labels, t_new, t_old)['top1'] == 1


def test_of_equally_good_pairs_the_nearest_to_one():
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    labels = torch.tensor([0, 1])
    assert best_temperatures(logits, logits, labels) == (1, 1)
    assert best_temperatures(logits, logits, labels, start=(2.3, 0.7)) == (1, 1)


def test_never_worse_than_the_start():
    """Both images are correct where t_new / t_old is 1.55, between the steps of the grid."""
    start = (1.55, 1.0)
    new = torch.tensor([[0.0, 1.55], [0.0, 1.55]])
    old = torch.tensor([[0.999, 0.0], [1.001, 0.0]])
    labels = torch.tensor([1, 0])
    assert ensemble_scores(new, old, labels, *start)['top1'] == 1
    chosen = best_temperatures(new, old, labels, 'top1', start)
    assert ensemble_scores(new, old, labels, *chosen)['top1'] == 1
    assert best_temperatures(new, old, labels, 'top1') == (1, 1)  # half of them


@pytest.mark.parametrize('pair', [(1, 1), (0.5, 3)])
def test_scores(pair, monkeypatch):
    monkeypatch.setattr(calibration, 'CHUNK', 100)
    logits, other, labels = calibrated(200)
    scores = ensemble_scores(logits, other, labels, *pair)
    expected = reference(logits, other, labels, *pair)
    expected['nll'] = (nll(logits, labels, pair[0]) + nll(other, labels, pair[1])) / 2
    assert list(scores) == [*METRICS, 'ece']
    assert {name: scores[name] for name in METRICS} == pytest.approx(expected, rel=1e-6)


def test_a_class_without_images_counts_nowhere():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    labels = torch.tensor([0, 1])
    assert ensemble_scores(logits, logits, labels)['lowest_recall'] == 1
    assert best_temperatures(logits, logits, labels, 'lowest_recall') == (1, 1)


def test_calibration_error_by_hand():
    confidence = torch.tensor([1.0, 0.75, 0.7, 0.5, 0.3])
    correct = torch.tensor([True, True, False, False, True])
    # Bins of a half: (0, 0.5] has the last two.
    expected = (abs(2.45 - 2) + abs(0.8 - 1)) / 5
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(expected)
    # Bins of a quarter: (0.25, 0.5], (0.5, 0.75], (0.75, 1].
    expected = (abs(0.8 - 1) + abs(1.45 - 1) + 0) / 5
    assert expected_calibration_error(confidence, correct, bins=4) == pytest.approx(expected)


def test_calibration_error_of_what_is_calibrated():
    logits, _, labels = calibrated()
    well = ensemble_scores(logits, logits, labels)['ece']
    overconfident = ensemble_scores(4 * logits, 4 * logits, labels)['ece']
    assert well < 0.03 < 0.1 < overconfident


@pytest.mark.parametrize(
    ('new', 'old', 'labels', 'message'),
    [
        ((3, 2), (3, 4), [0, 1, 1], r'shape \(N, C\).*got \(3, 2\), \(3, 4\) and \(3,\)'),
        ((3, 2), (3, 2), [0, 1], r'labels \(N\).*got \(3, 2\), \(3, 2\) and \(2,\)'),
        ((0, 2), (0, 2), [], 'N at least 1'),
        ((3, 2), (3, 2), [0, 2, -1], r'labels must be in \[0, 2\), but got \[-1, 2\]'),
    ],
)
@pytest.mark.parametrize('function', [best_temperatures, ensemble_scores])
def test_wrong_shapes_and_labels(function, new, old, labels, message):
    labels = torch.tensor(labels, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        function(torch.zeros(new), torch.zeros(old), labels)


def test_unknown_metric():
    logits, other, labels = calibrated(10)
    with pytest.raises(ValueError, match="metric must be one of 'top1', .*but got 'f1'"):
        best_temperatures(logits, other, labels, 'f1')
