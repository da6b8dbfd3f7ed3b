"""LDAM (Cao et al. 2019): a margin for the true class, larger for rarer classes."""

from tests.reference.cross_entropy import cross_entropy
from tests.reference.softmax import counted


def ldam_margins(class_counts, max_margin=0.5):
    quarter_roots = [count**0.25 for count in class_counts]
    return [max_margin * min(quarter_roots) / root for root in quarter_roots]


def ldam_loss(
    logits,
    target,
    position_weight=None,
    class_counts=(),
    max_margin=0.5,
    scale=30.0,
    class_weight=None,
):
    """(loss, gradient): mean over the positions that count, weighted by class (Algorithm 1)."""
    denominator = None
    if class_weight is not None:
        labels = [y for _, _, y, _ in counted(logits, target, position_weight)]
        denominator = sum(class_weight[y] for y in labels)
    return cross_entropy(
        logits,
        target,
        position_weight,
        class_weight,
        denominator,
        margin=ldam_margins(class_counts, max_margin),
        scale=scale,
    )
