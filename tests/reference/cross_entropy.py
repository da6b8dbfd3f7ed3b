"""Cross entropy of biased, scaled logits with a weight for each class: what most losses here are.

With s_j = scale (z_j + bias_j - margin_y [j=y]) and p = softmax(s), position n adds
w_y * (-log p_y) / D, and d(-log p_y)/dz_j = scale (p_j - [j=y]).
"""

from tests.reference.softmax import counted, log_softmax, no_gradient, softmax


def cross_entropy(
    logits,
    target,
    position_weight=None,
    class_weight=None,
    denominator=None,
    bias=None,
    margin=None,
    scale=1.0,
):
    """(loss, gradient); ``denominator`` D is by default the number of positions that count."""
    positions = list(counted(logits, target, position_weight))
    denominator = len(positions) if denominator is None else denominator
    loss, gradient = 0.0, no_gradient(logits)
    for n, z, y, weight in positions:
        shifted = []
        for j, value in enumerate(z):
            value += 0.0 if bias is None else bias[j]
            if margin is not None and j == y:
                value -= margin[j]
            shifted.append(scale * value)
        weight *= 1.0 if class_weight is None else class_weight[y]
        loss -= weight * log_softmax(shifted)[y] / denominator
        for j, p in enumerate(softmax(shifted)):
            gradient[n][j] = weight * scale * (p - (j == y)) / denominator
    return loss, gradient
