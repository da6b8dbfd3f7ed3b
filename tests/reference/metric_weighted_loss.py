"""Recall loss with another metric in the place of recall: Sec. 3.4 and Table 1 of the paper."""

from tests.reference.cross_entropy import cross_entropy
from tests.reference.softmax import counted


def outcomes(logits, target, position_weight=None):
    """TP, FP and FN of each class, by comparing label and prediction position by position."""
    num_classes = len(logits[0])
    true_positive, false_positive, false_negative = ([0] * num_classes for _ in range(3))
    for _, z, y, _ in counted(logits, target, position_weight):
        predicted = z.index(max(z))
        if predicted == y:
            true_positive[y] += 1
        else:
            false_positive[predicted] += 1
            false_negative[y] += 1
    return true_positive, false_positive, false_negative


def metric_of(metric, tp, fp, fn, tversky_alpha=0.5, tversky_beta=0.5):
    """A row of Table 1; 0/0 is 0."""
    above, below = {
        'recall': (tp, tp + fn),
        'precision': (tp, tp + fp),
        'dice': (2 * tp, 2 * tp + fp + fn),
        'jaccard': (tp, tp + fp + fn),
        'tversky': (tp, tp + tversky_alpha * fp + tversky_beta * fn),
    }[metric]
    return above / below if below else 0.0


def metric_weighted_loss(logits, target, position_weight=None, metric='recall', **tversky):
    """(loss, gradient): cross entropy weighted by 1 - metric, over the positions that count."""
    counts = zip(*outcomes(logits, target, position_weight))
    weights = [1 - metric_of(metric, *count, **tversky) for count in counts]
    return cross_entropy(logits, target, position_weight, weights)
