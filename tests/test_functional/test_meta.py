import math

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.functional import (
    class_balanced_weights,
    gumbel_given_class,
    meta_gradient,
    straight_through_weights,
    summed_cross_entropy,
)
from tests.tolerances import FLOAT64

COUNTS = torch.tensor([50.0, 10.0, 2.0], dtype=torch.double)
INNER_LR = 0.7


def problem():
    """A linear classifier, a training batch and a meta batch, in float64."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, dtype=torch.double, generator=generator)

    parameters = dict(weight=normal(3, 4), bias=normal(3))
    return parameters, normal(7, 4), normal(5, 4)


LABELS, META_LABELS = torch.tensor([0, 0, 1, 0, 2, 1, 0]), torch.tensor([0, 1, 2, 1, 2])


def losses(features, meta_features):
    """Balanced softmax on the weighted batch, cross entropy on the meta batch."""

    def inner_loss(parameters, weights):
        logits = F.linear(features, parameters['weight'], parameters['bias']) + COUNTS.log()
        return (weights * F.cross_entropy(logits, LABELS, reduction='none')).mean()

    def meta_loss(parameters):
        logits = F.linear(meta_features, parameters['weight'], parameters['bias'])
        return F.cross_entropy(logits, META_LABELS)

    return inner_loss, meta_loss


def after_step(weights):
    """The meta loss after the inner step; the step's gradient is written out, not derived."""
    parameters, features, meta_features = problem()
    weight, bias = parameters['weight'], parameters['bias']
    p = (features @ weight.T + bias + COUNTS.log()).softmax(1)
    error = weights[:, None] * (p - F.one_hot(LABELS, 3)) / len(LABELS)
    weight = weight - INNER_LR * error.T @ features
    bias = bias - INNER_LR * error.sum(0)
    meta_p = (meta_features @ weight.T + bias).softmax(1)
    return -meta_p[range(5), META_LABELS].log().mean()


def finite_differences(function, at, step=1e-5):
    slopes = []
    for i in range(len(at)):
        change = torch.zeros_like(at)
        change[i] = step
        slopes.append((function(at + change) - function(at - change)) / (2 * step))
    return torch.stack(slopes)


def our_gradient(weights):
    parameters, features, meta_features = problem()
    return meta_gradient(parameters, weights, *losses(features, meta_features), INNER_LR)


def test_meta_gradient():
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 3.0, 1.0, 0.1], dtype=torch.double)
    gradient, value = our_gradient(weights)
    torch.testing.assert_close(value, after_step(weights), **FLOAT64)
    (autograd,) = torch.autograd.grad(after_step(w := weights.requires_grad_()), w)
    torch.testing.assert_close(gradient, autograd, **FLOAT64)
    differences = finite_differences(after_step, weights.detach())
    torch.testing.assert_close(gradient, differences, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize('temperature', [1.0, 0.3])
def test_gradient_of_rates(temperature):
    """Through the draws: with the noise held, a draw counts 1 + what its softmax gains."""
    psi = torch.tensor([1.0, 0.2, -0.5], dtype=torch.double)
    perturbed = gumbel_given_class(psi.log_softmax(0), LABELS, torch.Generator().manual_seed(0))
    noise = perturbed - psi.log_softmax(0)

    def draws(psi):
        # Scaling all rates moves no softmax, so they need no norm here.
        soft = ((psi + noise) / temperature).exp()
        return soft[range(7), LABELS] / soft.sum(1)

    def reference(changed):
        return after_step(1 + draws(changed) - draws(psi))

    learned = psi.clone().requires_grad_()
    weights = straight_through_weights(learned.log_softmax(0), LABELS, perturbed, temperature)
    assert torch.equal(weights, torch.ones_like(weights))
    gradient, _ = our_gradient(weights.detach())
    (gradient,) = torch.autograd.grad(weights, learned, gradient)
    differences = finite_differences(reference, psi)
    assert differences.abs().min() > 1e-4
    torch.testing.assert_close(gradient, differences, rtol=1e-7, atol=1e-9)


def test_gradient_of_class_weights():
    psi = torch.tensor([1.0, 0.2, -0.5], dtype=torch.double, requires_grad=True)
    weights = (3 * psi.softmax(0))[LABELS]
    gradient, _ = our_gradient(weights.detach())
    (gradient,) = torch.autograd.grad(weights, psi, gradient)
    differences = finite_differences(
        lambda psi: after_step((3 * psi.softmax(0))[LABELS]), psi.detach()
    )
    torch.testing.assert_close(gradient, differences, rtol=1e-7, atol=1e-9)


def distance(a, b):
    """The largest difference of two empirical distribution functions (Kolmogorov-Smirnov)."""
    both = torch.cat([a, b]).sort().values
    cdf = [torch.searchsorted(x.sort().values, both, right=True) / len(x) for x in (a, b)]
    return (cdf[0] - cdf[1]).abs().max().item()


def test_noise_given_the_draw_is_that_of_the_draw():
    """Classes drawn with noise, then noise for these classes: both have one distribution."""
    size, rates = 40000, torch.tensor([0.7, 0.25, 0.05], dtype=torch.double)
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(size, 3, dtype=torch.double, generator=generator)
    drawn = rates.log() - (-uniform.log()).log()
    classes = drawn.argmax(1)
    again = gumbel_given_class(rates.log(), classes, generator)
    assert torch.equal(again.argmax(1), classes)
    limit = 1.63 * math.sqrt(2 / size)  # 1 % of the time further apart
    for of_class in (slice(None), classes == 0, classes == 2):
        a, b = drawn[of_class], again[of_class]
        wider = limit * math.sqrt(size / len(a))
        for project in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [0, 1, -1], [1, 1, 1]):
            direction = torch.tensor(project, dtype=torch.double)
            assert distance(a @ direction, b @ direction) < wider
    assert distance(drawn[:, 2], again[:, 2] + 0.05) > limit  # what it could tell apart


def test_noise_of_vanishing_rates_is_finite_where_it_counts():
    log_rates = torch.tensor([0.0, -80.0, -200.0])
    classes = torch.tensor([0, 1, 2])
    perturbed = gumbel_given_class(log_rates, classes, torch.Generator().manual_seed(0))
    learned = log_rates.requires_grad_()
    weights = straight_through_weights(learned, classes, perturbed)
    (gradient,) = torch.autograd.grad(weights.sum(), learned)
    assert torch.equal(weights, torch.ones(3)) and gradient.isfinite().all()


def test_summed_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, dtype=torch.double, generator=generator, requires_grad=True)
    target = torch.randint(3, (2, 4, 5), generator=generator)
    target[:, 0] = 9
    weight = torch.rand(2, 4, 5, dtype=torch.double, generator=generator, requires_grad=True)
    value = summed_cross_entropy(logits, target, weight, ignore_index=9)
    expected = (weight * F.cross_entropy(logits, target, reduction='none', ignore_index=9)).sum()
    torch.testing.assert_close(value, expected, **FLOAT64)
    ours, plain = (torch.autograd.grad(v, (logits, weight)) for v in (value, expected))
    torch.testing.assert_close(ours, plain, **FLOAT64)
    assert torch.autograd.gradgradcheck(
        lambda *x: summed_cross_entropy(x[0], target[:1, :2, :2], x[1], 9),
        (logits[:1, :, :2, :2], weight[:1, :2, :2]),
    )


def test_class_balanced_weights():
    target = torch.tensor([[0, 0, 255], [0, 4, 0]])
    expected = torch.tensor([[0.125, 0.125, 0], [0.125, 0.5, 0.125]], dtype=torch.double)
    assert torch.equal(class_balanced_weights(target, 5), expected)
    assert not class_balanced_weights(torch.full((2, 2), 255), 5).any()
