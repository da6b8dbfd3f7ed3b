"""OHEMLoss against its definition: how many positions, which, ties, its errors."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import OHEMLoss
from tests.against_reference import (
    assert_equals_reference,
    assert_precise,
    value_and_gradient,
)
from tests.batches import make_batch
from tests.reference.ohem_loss import ohem_loss
from tests.tolerances import FLOAT64

ARGUMENTS = {
    'top 70 %': dict(),
    'top 20 %': dict(keep_ratio=0.2),
    'threshold': dict(thresh=0.3),
    'threshold, at least 30': dict(thresh=0.05, min_kept=30),
}


@pytest.mark.parametrize('name', ARGUMENTS)
def test_equals_the_definition(call, name):
    arguments = ARGUMENTS[name]
    assert_equals_reference(OHEMLoss(**arguments), partial(ohem_loss, **arguments), *call)


@pytest.mark.parametrize('name', ARGUMENTS)
def test_precision_of_the_arithmetic(name, dtype):
    arguments = ARGUMENTS[name]

    def eager(logits, target):
        losses = F.cross_entropy(logits, target, ignore_index=255, reduction='none')
        losses = losses[target != 255].sort(descending=True).values
        if 'thresh' in arguments:
            count = max(
                (losses.neg().exp() < arguments['thresh']).sum(), arguments.get('min_kept', 1)
            )
        else:
            count = int(arguments.get('keep_ratio', 0.7) * len(losses))
        return losses[:count].mean()

    assert_precise(OHEMLoss(**arguments), partial(ohem_loss, **arguments), eager, dtype)


def kept(loss, logits, target):
    """Whether each position has a gradient, as numbers in its order."""
    _, grad = value_and_gradient(loss, logits, target)
    return (grad != 0).any(1).flatten().int().tolist()


def certain(*p):
    """Two-class logits that give class 0 these probabilities."""
    p = torch.tensor(p, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()], 1)


def test_keep_ratio_one_is_cross_entropy(call):
    logits, target, _ = call
    if logits.shape[2:] == target.shape[1:]:
        expected = F.cross_entropy(logits, target, ignore_index=255)
        torch.testing.assert_close(OHEMLoss(keep_ratio=1)(logits, target), expected, **FLOAT64)


@pytest.mark.parametrize(
    ('keep_ratio', 'valid', 'count'), [(0.7, 9, 6), (0.7, 10, 7), (0.5, 5, 2), (0.1, 5, 1)]
)
def test_keeps_the_floor_of_the_ratio_of_valid_positions(keep_ratio, valid, count):
    logits, _ = make_batch((15, 5), (15,))
    target = torch.zeros(15, dtype=torch.long)
    target[valid:] = 255
    assert sum(kept(OHEMLoss(keep_ratio=keep_ratio), logits, target)) == count


def test_threshold_is_on_the_probability_of_the_label():
    logits, target = certain(0.9, 0.29, 0.31, 0.1), torch.zeros(4, dtype=torch.long)
    assert kept(OHEMLoss(thresh=0.3), logits, target) == [0, 1, 0, 1]
    assert kept(OHEMLoss(thresh=0.3, keep_ratio=0.1), logits, target) == [0, 1, 0, 1]
    assert kept(OHEMLoss(thresh=0.3, min_kept=3), logits, target) == [0, 1, 1, 1]
    assert kept(OHEMLoss(thresh=0.01), logits, target) == [0, 0, 0, 1]
    assert kept(OHEMLoss(thresh=0.3, min_kept=100), logits, target) == [1, 1, 1, 1]


def test_min_kept_with_a_ratio():
    logits, target = certain(0.9, 0.2, 0.3, 0.1), torch.zeros(4, dtype=torch.long)
    assert kept(OHEMLoss(keep_ratio=0.25, min_kept=2), logits, target) == [0, 1, 0, 1]


def test_ties_share_what_is_left():
    """Half of four equal positions: each has half a share, and the mean is over two."""
    logits = torch.zeros(4, 2, dtype=torch.float64)
    value, grad = value_and_gradient(OHEMLoss(keep_ratio=0.5), logits, torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(value, torch.tensor(2.0).double().log(), **FLOAT64)
    torch.testing.assert_close(grad.abs(), torch.full_like(grad, 0.125), **FLOAT64)


def test_positions_that_are_certain():
    """A cross entropy of exactly 0 (and its negative zero) is the easiest, not an error."""
    logits, target = 1e4 * torch.eye(3), torch.tensor([0, 1, 0])
    value, grad = value_and_gradient(OHEMLoss(keep_ratio=0.4), logits, target)
    assert value == 1e4 and (grad[:2] == 0).all() and (grad[2] != 0).any()
    assert OHEMLoss()(1e4 * torch.eye(3), torch.arange(3)) == 0


def test_avg_factor_has_no_meaning():
    batch = make_batch((9, 5), (9,))
    assert OHEMLoss()(*batch, avg_factor=100) == OHEMLoss()(*batch)


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'keep_ratio must be in \(0, 1\], but got 0', dict(keep_ratio=0)),
        (ValueError, r'keep_ratio must be in \(0, 1\], but got 70', dict(keep_ratio=70)),
        (ValueError, r'thresh must be in \(0, 1\], but got 1.2', dict(thresh=1.2)),
        (TypeError, r"thresh must be a number .* but got '0.7'", dict(thresh='0.7')),
        (ValueError, 'min_kept must be an integer of at least 1, but got 0', dict(min_kept=0)),
        (TypeError, 'min_kept must be an integer .* but got 1.5', dict(min_kept=1.5)),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        OHEMLoss(**arguments)
