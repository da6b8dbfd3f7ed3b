"""Values, gradients and errors: losses against slow references, backends against each other."""

from functools import partial

import torch
import torch.nn.functional as F

from mmseg_recall.functional import ClassTotals, class_totals, select_totals
from mmseg_recall.ops.contract import DIFFERENTIABLE
from tests.batches import make_batch, positions
from tests.tolerances import FLOAT64, assert_within_budget


def pixel_weight(target):
    """Weights 0, 0.5, 1 and 1.5, one after the other."""
    return torch.arange(target.numel()).remainder(4).reshape(target.shape) * 0.5


def upsampled(logits, target):
    if logits.shape[2:] == target.shape[1:]:
        return logits
    return F.interpolate(logits, target.shape[1:], mode='bilinear')


def value_and_gradient(loss, logits, *args, **kwargs):
    leaf = logits.detach().clone().requires_grad_()
    value = loss(leaf, *args, **kwargs)
    value.backward()
    return value.detach(), leaf.grad


def totals_and_gradient(logits, target, backend, fields=None, **options):
    """The totals, all or some, and the gradient of a random combination of them."""
    leaf = logits.detach().requires_grad_()
    operation = class_totals if fields is None else partial(select_totals, fields)
    totals = operation(leaf, target, backend=backend, **options)
    generator = torch.Generator().manual_seed(0)
    loss = 0
    for total in totals:
        upstream = torch.randn(logits.shape[1], generator=generator, dtype=torch.float64)
        if total is not None and total.requires_grad:
            loss = loss + (upstream.to(total) * total).sum()
    return totals, torch.autograd.grad(loss, leaf)[0]


def assert_equal_results(result, expected, **tolerance):
    """Of ``totals_and_gradient``."""
    for name, total, other in zip(ClassTotals._fields, result[0], expected[0]):
        torch.testing.assert_close(
            total, other, **tolerance, msg=lambda m, name=name: f'{name}: {m}'
        )
    torch.testing.assert_close(result[1], expected[1], **tolerance)


def assert_results_within_budget(result, eager, exact):
    """Of ``totals_and_gradient``: the totals that are real numbers, and the gradient."""
    for name in DIFFERENTIABLE:
        totals = [getattr(each[0], name) for each in (result, eager, exact)]
        if totals[0] is not None:
            assert_within_budget(*totals)
    assert_within_budget(result[1], eager[1], exact[1])


def reference_value_and_gradient(reference, logits, target, weight=None):
    """The reference on full-resolution lists; its gradient goes back through F.interpolate."""
    leaf = logits.detach().double().requires_grad_()
    full = upsampled(leaf, target)
    weight = None if weight is None else weight.flatten().tolist()
    value, gradient = reference(*positions(full, target), weight)
    gradient = torch.tensor(gradient, dtype=torch.float64)
    gradient = gradient.reshape(target.shape + (-1,)).movedim(-1, 1)
    value = torch.tensor(value, dtype=torch.float64)
    return value, torch.autograd.grad(full, leaf, gradient)[0]


def assert_equals_reference(loss, reference, logits, target, weight=None):
    value, gradient = value_and_gradient(loss, logits, target, weight=weight)
    expected, expected_gradient = reference_value_and_gradient(reference, logits, target, weight)
    torch.testing.assert_close(value, expected, **FLOAT64)
    torch.testing.assert_close(gradient, expected_gradient, **FLOAT64)


def assert_precise(loss, reference, eager, dtype):
    """Within the error budget of ``eager``: the formula in plain PyTorch, on float32 logits."""
    for target_shape in ((2, 7, 6), (2, 23, 31)):
        logits, target = make_batch((2, 5, 7, 6), target_shape)
        logits = logits.to(dtype)
        result = value_and_gradient(loss, logits, target)
        plain = value_and_gradient(lambda z, y: eager(upsampled(z.float(), y), y), logits, target)
        exact = reference_value_and_gradient(reference, logits, target)
        assert result[0].dtype == torch.float32 and result[1].dtype == dtype
        for triple in zip(result, plain, exact):
            assert_within_budget(*triple)
