"""MetricWeightedLoss against Table 1 of the paper, its named metrics, its errors."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import MetricWeightedLoss, RecallLoss
from tests.against_reference import assert_equals_reference, assert_precise
from tests.batches import make_batch, positions
from tests.reference.metric_weighted_loss import metric_of, metric_weighted_loss, outcomes
from tests.tolerances import FLOAT64

METRICS = ('recall', 'precision', 'dice', 'jaccard')


@pytest.mark.parametrize('metric', METRICS)
def test_equals_the_paper(call, metric):
    reference = partial(metric_weighted_loss, metric=metric)
    assert_equals_reference(MetricWeightedLoss(metric=metric), reference, *call)


def test_tversky_equals_the_paper(call):
    arguments = dict(metric='tversky', tversky_alpha=0.2, tversky_beta=1.7)
    reference = partial(metric_weighted_loss, **arguments)
    assert_equals_reference(MetricWeightedLoss(**arguments), reference, *call)


@pytest.mark.parametrize('metric', METRICS)
def test_precision_of_the_arithmetic(metric, dtype):
    def eager(logits, target):
        counts = zip(*outcomes(*positions(logits, target)))
        weight = torch.tensor([1 - metric_of(metric, *count) for count in counts])
        total = F.cross_entropy(logits, target, weight, ignore_index=255, reduction='sum')
        return total / (target != 255).sum()

    reference = partial(metric_weighted_loss, metric=metric)
    assert_precise(MetricWeightedLoss(metric=metric), reference, eager, dtype)


@pytest.mark.parametrize(
    ('metric', 'alpha', 'beta'),
    [('recall', 0, 1), ('precision', 1, 0), ('dice', 0.5, 0.5), ('jaccard', 1, 1)],
)
def test_named_metrics_are_tversky(batch, metric, alpha, beta):
    tversky = MetricWeightedLoss(metric='tversky', tversky_alpha=alpha, tversky_beta=beta)
    torch.testing.assert_close(tversky(*batch), MetricWeightedLoss(metric=metric)(*batch))


def test_alpha_goes_with_false_positives():
    """Class 0 has 1 TP, 2 FP, 0 FN; only alpha can make its weight more than 0."""
    logits = torch.tensor([[1.0, 0.0]]).repeat(3, 1).double()
    target = torch.tensor([0, 1, 1])
    ce = F.cross_entropy(logits, target, reduction='none')
    for alpha, beta, weight in ((3.0, 0.0, 6 / 7), (0.0, 3.0, 0.0)):
        loss = MetricWeightedLoss(metric='tversky', tversky_alpha=alpha, tversky_beta=beta)
        expected = (weight * ce[0] + ce[1] + ce[2]) / 3
        torch.testing.assert_close(loss(logits, target), expected, **FLOAT64)


def test_recall_is_recall_loss(call):
    logits, target, weight = call
    torch.testing.assert_close(
        MetricWeightedLoss()(logits, target, weight=weight),
        RecallLoss()(logits, target, weight=weight),
        **FLOAT64,
    )


def test_a_class_never_predicted_has_precision_zero():
    logits, target = torch.tensor([[0.0, 1.0]]).double(), torch.tensor([0])
    expected = F.cross_entropy(logits, target)
    torch.testing.assert_close(MetricWeightedLoss(metric='precision')(logits, target), expected)


def test_no_gradient_through_the_weight():
    logits, target = make_batch((9, 5), (9,))
    logits.requires_grad_()
    MetricWeightedLoss(metric='dice')(logits, target).backward()
    assert (logits.grad.sum(1).abs() < 1e-12).all()


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, "metric must be one of 'recall', 'precision', .* got 'f1'", dict(metric='f1')),
        (
            ValueError,
            r'tversky_alpha must be in \[0, inf\), but got -1',
            dict(metric='tversky', tversky_alpha=-1),
        ),
        (
            ValueError,
            r'tversky_beta must be in \[0, inf\), but got nan',
            dict(metric='tversky', tversky_beta=float('nan')),
        ),
        (TypeError, 'tversky_beta must be a number', dict(tversky_beta=None)),
        (TypeError, 'no argument alpha', dict(alpha=0.5)),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        MetricWeightedLoss(**arguments)
