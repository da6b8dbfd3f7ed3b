"""What the slow references share: softmax of a list, and which positions count."""

import math


def softmax(z):
    exps = [math.exp(value - max(z)) for value in z]
    return [value / sum(exps) for value in exps]


def log_softmax(z):
    largest = max(z)
    log_sum = largest + math.log(sum(math.exp(value - largest) for value in z))
    return [value - log_sum for value in z]


def counted(logits, target, position_weight=None, ignore_index=255):
    """(index, z, y, weight) of the positions that are neither ignored nor of weight 0."""
    for n, (z, y) in enumerate(zip(logits, target)):
        weight = 1.0 if position_weight is None else position_weight[n]
        if y != ignore_index and weight != 0:
            yield n, z, y, weight


def support_of(logits, target, position_weight=None):
    """{class: number of positions}, of the classes that are present."""
    support = {}
    for _, _, y, _ in counted(logits, target, position_weight):
        support[y] = support.get(y, 0) + 1
    return support


def no_gradient(logits):
    return [[0.0] * len(z) for z in logits]
