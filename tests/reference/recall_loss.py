"""Recall loss of the paper, Eq. 4-8, one position at a time, with its gradient.

The weights are constants for the gradient, so d(-w log p_y)/dz_j = w (p_j - 1[j=y]).
"""

import math


def recall_weights(logits, target, ignore_index=255, min_false_negatives=0):
    """(1 - R_c for each class present, N_c)."""
    support, missed = {}, {}
    for z, y in zip(logits, target):
        if y != ignore_index:
            support[y] = support.get(y, 0) + 1
            missed[y] = missed.get(y, 0) + (z.index(max(z)) != y)
    weights = {
        y: min(max(missed[y], min_false_negatives), count) / count for y, count in support.items()
    }
    return weights, support


def recall_loss(logits, target, weights, denominator, ignore_index=255):
    """(loss, gradient) of weighted cross entropy over ``denominator``."""
    loss, gradient = 0.0, []
    for z, y in zip(logits, target):
        if y == ignore_index:
            gradient.append([0.0] * len(z))
            continue
        exps = [math.exp(value - max(z)) for value in z]
        p = [value / sum(exps) for value in exps]
        loss -= weights[y] * math.log(p[y]) / denominator
        gradient.append([weights[y] * (p[j] - (j == y)) / denominator for j in range(len(z))])
    return loss, gradient


class MovingAverage:
    """R^_c of Eq. 8: starts at 0; only the classes of the batch move."""

    def __init__(self, alpha):
        self.alpha, self.recall = alpha, {}

    def step(self, weights):
        for y, weight in weights.items():
            self.recall[y] = self.alpha * (1 - weight) + (1 - self.alpha) * self.recall.get(y, 0.0)
        return {y: 1 - self.recall[y] for y in weights}
