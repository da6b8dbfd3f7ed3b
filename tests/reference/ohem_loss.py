"""Online hard example mining: cross entropy over the hardest positions alone."""

import math

from tests.reference.cross_entropy import cross_entropy
from tests.reference.softmax import counted, log_softmax


def select_hardest(losses, count):
    """How much of each is kept: all of the largest; equal ones at the end share what is left."""
    count = min(count, len(losses))
    if count == 0:
        return [0.0] * len(losses)
    last = sorted(losses, reverse=True)[count - 1]
    above = sum(loss > last for loss in losses)
    share = (count - above) / sum(loss == last for loss in losses)
    return [1.0 if loss > last else share if loss == last else 0.0 for loss in losses]


def ohem_loss(logits, target, position_weight=None, keep_ratio=0.7, thresh=None, min_kept=1):
    """(loss, gradient): mean over the positions kept."""
    positions = list(counted(logits, target, position_weight))
    # Rounded, so that losses tie that differ by the upsampling's rounding alone.
    losses = [round(-log_softmax(z)[y], 9) for _, z, y, _ in positions]
    if thresh is None:
        count = math.floor(keep_ratio * len(positions))
    else:
        count = sum(math.exp(-loss) < thresh for loss in losses)
    count = min(max(count, min_kept), len(positions))
    kept = [0.0] * len(logits)
    for (n, _, _, weight), share in zip(positions, select_hardest(losses, count)):
        kept[n] = weight * share
    return cross_entropy(logits, target, kept, denominator=count)
