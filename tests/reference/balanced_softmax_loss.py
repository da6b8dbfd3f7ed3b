"""Balanced Softmax: Eq. 4 and 10 of its paper, by the counts themselves instead of their logs."""

import math

from tests.reference.softmax import counted, no_gradient


def balanced_softmax_loss(
    logits, target, position_weight=None, class_counts=(), tau=1.0, class_weight=None
):
    """(loss, gradient) with p_j = n_j^tau exp(z_j) / sum_i n_i^tau exp(z_i)."""
    positions = list(counted(logits, target, position_weight))
    class_weight = class_weight or [1.0] * len(class_counts)
    denominator = sum(class_weight[y] for _, _, y, _ in positions)
    loss, gradient = 0.0, no_gradient(logits)
    for n, z, y, weight in positions:
        terms = [count**tau * math.exp(value - max(z)) for value, count in zip(z, class_counts)]
        p = [term / sum(terms) for term in terms]
        factor = weight * class_weight[y] / denominator
        loss -= factor * math.log(p[y])
        gradient[n] = [factor * (p[j] - (j == y)) for j in range(len(z))]
    return loss, gradient
