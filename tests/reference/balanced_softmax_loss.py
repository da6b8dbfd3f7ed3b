"""Balanced Softmax: Eq. 4 and 10 of its paper, by the counts themselves instead of their logs.

For independent logistic regressions (Sec. 3.1) the odds of class j are multiplied by the ratio of
its odds in the training set, n_j / (n - n_j), to its odds where all are equal, 1 / (C - 1).
"""

import math

from tests.reference.softmax import counted, no_gradient


def balanced_softmax_loss(
    logits,
    target,
    position_weight=None,
    class_counts=(),
    tau=1.0,
    class_weight=None,
    base='softmax',
):
    """(loss, gradient): the weighted mean over the positions that count."""
    positions = list(counted(logits, target, position_weight))
    class_weight = class_weight or [1.0] * len(class_counts)
    denominator = sum(class_weight[y] for _, _, y, _ in positions)
    of_position = of_softmax if base == 'softmax' else of_logistic_regressions
    loss, gradient = 0.0, no_gradient(logits)
    for n, z, y, weight in positions:
        factor = weight * class_weight[y] / denominator
        value, row = of_position(z, y, class_counts, tau)
        loss += factor * value
        gradient[n] = [factor * slope for slope in row]
    return loss, gradient


def of_softmax(z, y, class_counts, tau=1.0):
    """p_j = n_j^tau exp(z_j) / sum_i n_i^tau exp(z_i)."""
    terms = [count**tau * math.exp(value - max(z)) for value, count in zip(z, class_counts)]
    p = [term / sum(terms) for term in terms]
    return -math.log(p[y]), [p[j] - (j == y) for j in range(len(z))]


def of_logistic_regressions(z, y, class_counts, tau=1.0):
    """q_j = odds / (1 + odds); binary cross entropy, summed over the classes."""
    value, gradient = 0.0, []
    for j, (logit, count) in enumerate(zip(z, class_counts)):
        ratio = count / (sum(class_counts) - count) * (len(z) - 1)
        odds = math.exp(logit) * ratio**tau
        value += math.log1p(1 / odds if j == y else odds)
        gradient.append(odds / (1 + odds) - (j == y))
    return value, gradient
