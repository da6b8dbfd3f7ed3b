"""Soft intersection over union (Rahman & Wang 2016).

With g_c = dL/dp_c of a position, dL/dz_j = p_j (g_j - sum_c g_c p_c).
"""

from tests.reference.softmax import counted, no_gradient, softmax


def soft_iou_loss(logits, target, position_weight=None, classes='present'):
    """(loss, gradient) of 1 - mean I_c / U_c over all positions together."""
    num_classes = len(logits[0])
    positions = list(counted(logits, target, position_weight))
    support, intersection, soft_predicted = ([0.0] * num_classes for _ in range(3))
    for _, z, y, weight in positions:
        p = softmax(z)
        support[y] += 1
        intersection[y] += weight * p[y]
        for c in range(num_classes):
            soft_predicted[c] += weight * p[c]
    union = [support[c] + soft_predicted[c] - intersection[c] for c in range(num_classes)]
    meant = [c for c in range(num_classes) if classes == 'all' or support[c] > 0]
    loss = 1 - sum(intersection[c] / union[c] for c in meant) / len(meant)

    gradient = no_gradient(logits)
    for n, z, y, weight in positions:
        p, g = softmax(z), [0.0] * num_classes
        for c in meant:
            d_intersection = weight * (c == y)
            d_union = weight - d_intersection
            g[c] = d_intersection / union[c] - intersection[c] * d_union / union[c] ** 2
            g[c] /= -len(meant)
        mean = sum(g[c] * p[c] for c in range(num_classes))
        gradient[n] = [p[j] * (g[j] - mean) for j in range(num_classes)]
    return loss, gradient


def soft_iou_loss_per_image(images, classes='present'):
    """(loss, gradient of each image): the mean over the images with a position that counts.

    An image is its (logits, target, position_weight or None).
    """
    told = [image for image in images if any(counted(*image))]
    loss, gradients = 0.0, []
    for image in images:
        if image not in told:
            gradients.append(no_gradient(image[0]))
            continue
        value, gradient = soft_iou_loss(*image, classes)
        loss += value / len(told)
        gradients.append([[entry / len(told) for entry in row] for row in gradient])
    return loss, gradients
