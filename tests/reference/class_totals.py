"""The seven totals, one position at a time, in plain Python floats."""

import math


def class_totals(
    logits,
    target,
    ignore_index=255,
    class_bias=None,
    target_margin=None,
    scale=1.0,
    position_weight=None,
    focal_gamma=None,
):
    """Logits as a list of positions, each a list of C numbers; targets as a list of labels."""
    num_classes = len(logits[0])
    names = ['support', 'true_positive', 'predicted']
    names += ['cross_entropy', 'soft_true_positive', 'soft_predicted', 'focal']
    totals = {name: [0.0] * num_classes for name in names}
    for n, (z, y) in enumerate(zip(logits, target)):
        weight = 1.0 if position_weight is None else position_weight[n]
        if y == ignore_index or weight == 0:
            continue
        shifted = list(z)
        if class_bias is not None:
            shifted = [value + bias for value, bias in zip(shifted, class_bias)]
        if target_margin is not None:
            shifted[y] -= target_margin[y]
        shifted = [scale * value for value in shifted]
        exps = [math.exp(value - max(shifted)) for value in shifted]
        p = [value / sum(exps) for value in exps]
        predicted = z.index(max(z))
        totals['support'][y] += 1
        totals['true_positive'][y] += predicted == y
        totals['predicted'][predicted] += 1
        totals['cross_entropy'][y] -= weight * math.log(p[y])
        totals['soft_true_positive'][y] += weight * p[y]
        for c in range(num_classes):
            totals['soft_predicted'][c] += weight * p[c]
        if focal_gamma is not None:
            totals['focal'][y] -= weight * (1 - p[y]) ** focal_gamma * math.log(p[y])
    return totals
