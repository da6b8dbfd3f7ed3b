"""Geometric mean loss: Eq. 1-3 of its paper.

With r_c the mean of p_y over class c and K classes present, position n of class c gives
dL/dz_j = -(1/K) w / (N_c r_c) p_y ([j=y] - p_j).
"""

import math

from tests.reference.softmax import counted, no_gradient, support_of


def geometric_mean_loss(logits, target, position_weight=None, class_counts=None):
    """(loss, gradient) with p_j = n_j exp(z_j) / sum_i n_i exp(z_i)."""
    class_counts = [1] * len(logits[0]) if class_counts is None else class_counts
    support = support_of(logits, target, position_weight)
    total, rows = dict.fromkeys(support, 0.0), []
    for n, z, y, weight in counted(logits, target, position_weight):
        terms = [count * math.exp(value - max(z)) for value, count in zip(z, class_counts)]
        p = [term / sum(terms) for term in terms]
        total[y] += weight * p[y]
        rows.append((n, p, y, weight))
    loss = -sum(math.log(total[c] / support[c]) for c in support) / len(support)
    gradient = no_gradient(logits)
    for n, p, y, weight in rows:
        factor = weight * p[y] / total[y] / len(support)
        gradient[n] = [factor * (p[j] - (j == y)) for j in range(len(p))]
    return loss, gradient
