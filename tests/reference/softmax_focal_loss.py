"""Focal loss on softmax probabilities: Eq. 6 of the recall loss paper.

With p = p_y, d(-(1 - p)^gamma log p)/dz_j
= (gamma (1 - p)^(gamma - 1) p log p - (1 - p)^gamma) ([j=y] - p_j).
"""

from tests.reference.softmax import counted, log_softmax, no_gradient, softmax


def softmax_focal_loss(logits, target, position_weight=None, gamma=1.0, alpha=None):
    """(loss, gradient): mean over the positions that count."""
    positions = list(counted(logits, target, position_weight))
    loss, gradient = 0.0, no_gradient(logits)
    for n, z, y, weight in positions:
        factor = weight * (1.0 if alpha is None else alpha[y]) / len(positions)
        p, log_p = softmax(z), log_softmax(z)[y]
        missing = sum(p[j] for j in range(len(z)) if j != y)
        loss -= factor * missing**gamma * log_p
        slope = -(missing**gamma)
        if gamma != 0:
            slope += gamma * missing ** (gamma - 1) * p[y] * log_p
        gradient[n] = [factor * slope * ((j == y) - p[j]) for j in range(len(z))]
    return loss, gradient
