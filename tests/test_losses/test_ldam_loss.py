"""LDAMLoss against Cao et al., its limits, class weights, its errors."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import LDAMLoss
from tests.against_reference import assert_equals_reference, assert_precise
from tests.batches import make_batch, make_counts
from tests.reference.ldam_loss import ldam_loss, ldam_margins
from tests.tolerances import FLOAT64

ARGUMENTS = {'paper': {}, 'plain classifier': dict(max_margin=2.5, scale=1.3)}


@pytest.mark.parametrize('name', ARGUMENTS)
def test_equals_the_paper(call, name):
    arguments = dict(ARGUMENTS[name], class_counts=make_counts(call[0].shape[1]))
    assert_equals_reference(LDAMLoss(**arguments), partial(ldam_loss, **arguments), *call)


@pytest.mark.parametrize('name', ARGUMENTS)
def test_precision_of_the_arithmetic(name, dtype):
    arguments = dict(dict(max_margin=0.5, scale=30.0), **ARGUMENTS[name])
    counts = make_counts(5)

    def eager(logits, target):
        margins = torch.tensor(ldam_margins(counts, arguments['max_margin']))
        y = target.where(target != 255, 0)
        shift = F.one_hot(y, 5).movedim(-1, 1) * margins[:, None, None]
        return F.cross_entropy(arguments['scale'] * (logits - shift), target, ignore_index=255)

    reference = partial(ldam_loss, class_counts=counts, **arguments)
    assert_precise(LDAMLoss(counts, **arguments), reference, eager, dtype)


def test_the_margin_is_taken_from_the_true_class():
    """Counts 16 and 1 have margins 0.25 and 0.5."""
    loss = LDAMLoss([16, 1], scale=2.0)
    for y, margin in ((0, 0.25), (1, 0.5)):
        value = loss(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([y]))
        expected = F.softplus(torch.tensor(2 * margin, dtype=torch.float64))
        torch.testing.assert_close(value, expected, **FLOAT64)


def test_without_margin_or_scale_is_cross_entropy():
    logits, target = make_batch((9, 5), (9,))
    value = LDAMLoss(make_counts(5), max_margin=1e-15, scale=1.0)(logits, target)
    torch.testing.assert_close(value, F.cross_entropy(logits, target, ignore_index=255), **FLOAT64)


def test_class_weight():
    """Deferred re-weighting: from some epoch on, a factor for each class."""
    counts, weight = make_counts(5), [1.0, 0.5, 3.0, 2.0, 7.0]
    batch = make_batch((9, 5), (9,))
    loss = LDAMLoss(counts)
    assert_equals_reference(loss, partial(ldam_loss, class_counts=counts), *batch)
    loss.set_class_weight(torch.tensor(weight))
    reference = partial(ldam_loss, class_counts=counts, class_weight=weight)
    assert_equals_reference(loss, reference, *batch)


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'max_margin must be in \(0, inf\), but got 0', dict(max_margin=0)),
        (ValueError, r'scale must be in \(0, inf\), but got -30', dict(scale=-30)),
        (ValueError, r'scale must be in \(0, inf\), but got inf', dict(scale=float('inf'))),
        (TypeError, "scale must be a number .* but got '30'", dict(scale='30')),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        LDAMLoss([1, 2], **arguments)
