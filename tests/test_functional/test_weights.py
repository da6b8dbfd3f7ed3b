import pytest
import torch

from mmseg_recall.functional import (
    effective_number_weights,
    exponential_moving_average,
    inverse_frequency_weights,
    ldam_margins,
    recall,
    tversky_index,
)
from tests.reference.class_balanced_loss import class_balanced_weights
from tests.reference.inverse_frequency_loss import (
    inverse_frequency_weights as slow_inverse_frequency_weights,
)
from tests.reference.ldam_loss import ldam_margins as slow_ldam_margins
from tests.reference.metric_weighted_loss import metric_of

#: From one image to all pixels of a data set.
COUNTS = ([1, 2, 3], [5, 4980, 77], [10**12, 10**6, 1], [10**12, 10**12 - 1, 10**11])


def test_recall():
    true_positive, support = torch.tensor([3.0, 2.0, 0.0, 0.0]), torch.tensor([4.0, 2.0, 5.0, 0.0])
    assert recall(true_positive, support).tolist() == [0.75, 1.0, 0.0, 0.0]


def test_floor_of_false_negatives_is_at_most_the_support():
    true_positive, support = torch.tensor([10.0, 2.0, 0.0]), torch.tensor([10.0, 2.0, 0.0])
    assert recall(true_positive, support, 4).tolist() == [0.6000000238418579, 0.0, 0.0]


def test_moving_average_leaves_absent_classes():
    previous, current = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    average = exponential_moving_average(previous, current, torch.tensor([True, False]), 0.25)
    assert average.tolist() == [0.625, 0.5]


@pytest.mark.parametrize(('alpha', 'beta'), [(0, 1), (1, 0), (0.5, 0.5), (1, 1), (0.3, 1.9)])
def test_tversky_index(alpha, beta):
    outcomes = [(3, 2, 1), (0, 2, 1), (0, 0, 4), (0, 3, 0), (5, 0, 0), (0, 0, 0)]
    tp, fp, fn = torch.tensor(outcomes, dtype=torch.float64).T
    expected = [metric_of('tversky', *outcome, alpha, beta) for outcome in outcomes]
    assert tversky_index(tp, tp + fn, tp + fp, alpha, beta).tolist() == pytest.approx(expected)


@pytest.mark.parametrize('counts', COUNTS, ids=str)
@pytest.mark.parametrize('distance', [1.0, 0.1, 1e-3, 1e-6, 1e-9, 1e-12])
def test_effective_number_weights(counts, distance):
    """Against 60 digits, up to a beta of 1 - 1e-12."""
    weights = effective_number_weights(torch.tensor(counts), 1 - distance)
    assert weights.sum().item() == pytest.approx(len(counts))
    assert weights.tolist() == pytest.approx(
        class_balanced_weights(counts, 1 - distance), rel=1e-12
    )


@pytest.mark.parametrize('counts', COUNTS, ids=str)
def test_inverse_frequency_weights(counts):
    weights = inverse_frequency_weights(torch.tensor(counts))
    assert weights.mean().item() == pytest.approx(1)
    assert weights.tolist() == pytest.approx(slow_inverse_frequency_weights(counts), rel=1e-12)


@pytest.mark.parametrize('counts', COUNTS, ids=str)
def test_ldam_margins(counts):
    margins = ldam_margins(torch.tensor(counts), 0.7)
    assert margins.max().item() == pytest.approx(0.7)
    assert margins.tolist() == pytest.approx(slow_ldam_margins(counts, 0.7), rel=1e-12)
