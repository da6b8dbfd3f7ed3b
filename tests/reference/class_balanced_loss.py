"""Class-balanced loss: Eq. 6-13 of its paper.

The sigmoid and focal bases sum over one-vs-all terms: with t = z for the true class and -z for the
others and q = sigmoid(t), f = -(1 - q)^gamma log q
and df/dt = (1 - q)^gamma (gamma q log q - 1 + q).
"""

import math
from decimal import Decimal, localcontext

from tests.reference.cross_entropy import cross_entropy
from tests.reference.softmax import counted, no_gradient


def class_balanced_weights(class_counts, beta):
    """(1 - beta) / (1 - beta^n), of sum C, with 60 digits: n and beta as large as they get."""
    with localcontext() as context:
        context.prec = 60
        beta = Decimal(beta)
        weights = [(1 - beta) / (1 - beta ** Decimal(count)) for count in class_counts]
        total = sum(weights)
        return [float(len(weights) * weight / total) for weight in weights]


def one_vs_all(z, y, gamma=0.0):
    """(sum over the classes, its gradient) of one position."""
    value, gradient = 0.0, []
    for j, logit in enumerate(z):
        sign = 1 if j == y else -1
        t = sign * logit
        log_q = -math.log1p(math.exp(-t)) if t > 0 else t - math.log1p(math.exp(t))
        q, not_q = math.exp(log_q), math.exp(log_q - t)
        value -= not_q**gamma * log_q
        gradient.append(sign * not_q**gamma * (gamma * q * log_q - not_q))
    return value, gradient


def class_balanced_loss(
    logits, target, position_weight=None, class_counts=(), beta=0.999, base='softmax', gamma=0.5
):
    """(loss, gradient): mean over the positions that count."""
    weights = class_balanced_weights(class_counts, beta)
    if base == 'softmax':
        return cross_entropy(logits, target, position_weight, weights)
    positions = list(counted(logits, target, position_weight))
    loss, gradient = 0.0, no_gradient(logits)
    for n, z, y, weight in positions:
        value, row = one_vs_all(z, y, gamma if base == 'focal' else 0.0)
        factor = weight * weights[y] / len(positions)
        loss += factor * value
        gradient[n] = [factor * entry for entry in row]
    return loss, gradient
