import math

import pytest
import torch

from mmseg_recall.functional import (
    geometric_mean,
    inverse_frequency,
    mean_over_present,
    soft_iou,
    weighted_cross_entropy,
)


def test_value_and_gradient():
    totals = torch.tensor([2.0, 4.0], requires_grad=True)
    weight = torch.tensor([1.0, 0.5], requires_grad=True)
    loss = weighted_cross_entropy(totals, weight, 8)
    loss.backward()
    assert loss.item() == 0.5
    assert totals.grad.tolist() == [0.125, 0.0625]
    assert weight.grad is None


def test_nothing_to_divide_by():
    totals = torch.zeros(2, requires_grad=True)
    loss = weighted_cross_entropy(totals, torch.zeros(2), torch.tensor(0.0))
    loss.backward()
    assert loss.item() == 0 and totals.grad.tolist() == [0, 0]


def test_mean_over_present():
    values = torch.tensor([1.0, 3.0, 100.0], requires_grad=True)
    mean = mean_over_present(values, torch.tensor([2.0, 1.0, 0.0]))
    mean.backward()
    assert mean.item() == 2 and values.grad.tolist() == [0.5, 0.5, 0]
    assert mean_over_present(values, torch.zeros(3)).item() == 0


def test_inverse_frequency():
    sums = torch.tensor([6.0, 4.0, 0.0])
    assert inverse_frequency(sums, torch.tensor([3.0, 8.0, 0.0])).item() == 1.25


def test_soft_iou():
    soft_true_positive, soft_predicted = (
        torch.tensor([2.0, 1.0, 0.0]),
        torch.tensor([3.0, 1.5, 0.5]),
    )
    support = torch.tensor([4.0, 1.0, 0.0])
    ious = [2 / 5, 1 / 1.5]
    value = soft_iou(soft_true_positive, soft_predicted, support)
    assert value.item() == pytest.approx(1 - sum(ious) / 2)
    value = soft_iou(soft_true_positive, soft_predicted, support, all_classes=True)
    assert value.item() == pytest.approx(1 - sum(ious) / 3)
    assert soft_iou(torch.zeros(3), torch.zeros(3), torch.zeros(3), all_classes=True).item() == 0
    assert soft_iou(soft_true_positive, torch.full_like(soft_predicted, torch.nan), support).isnan()


def test_geometric_mean():
    soft_true_positive, support = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([4.0, 8.0, 0.0])
    value = geometric_mean(soft_true_positive, torch.zeros(3), support)
    assert value.item() == pytest.approx(math.log(4))


def test_geometric_mean_where_the_confidence_is_too_small():
    """The mean cross entropy takes its place, and takes the gradient."""
    soft_true_positive = torch.tensor([0.0, 1.0], requires_grad=True)
    cross_entropy = torch.tensor([600.0, 3.0], requires_grad=True)
    value = geometric_mean(soft_true_positive, cross_entropy, torch.tensor([2.0, 1.0]))
    value.backward()
    assert value.item() == 150
    assert cross_entropy.grad.tolist() == [0.25, 0] and soft_true_positive.grad.tolist() == [
        0,
        -0.5,
    ]
