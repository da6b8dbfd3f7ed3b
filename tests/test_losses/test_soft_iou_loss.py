"""SoftIoULoss against Rahman & Wang, its limits, its errors."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import SoftIoULoss
from tests.against_reference import (
    assert_equals_reference,
    assert_precise,
    value_and_gradient,
)
from tests.batches import make_batch
from tests.reference.soft_iou_loss import soft_iou_loss, soft_iou_loss_per_image
from tests.tolerances import FLOAT64

CLASSES = ('present', 'all')


def per_image(num_images, classes='present'):
    """The reference on a batch as lists, cut into its images."""

    def reference(logits, target, weight):
        size = len(target) // num_images
        parts = [slice(start, start + size) for start in range(0, len(target), size)]
        images = [(logits[p], target[p], None if weight is None else weight[p]) for p in parts]
        loss, gradients = soft_iou_loss_per_image(images, classes)
        return loss, [row for gradient in gradients for row in gradient]

    return reference


def eager(logits, target, classes='present'):
    valid = target != 255
    y, p = target[valid], logits.movedim(1, -1)[valid].softmax(1)
    labels = F.one_hot(y, p.shape[1])
    intersection = (p * labels).sum(0)
    iou = intersection / (labels.sum(0) + p.sum(0) - intersection)
    return 1 - (iou.mean() if classes == 'all' else iou[labels.sum(0) > 0].mean())


@pytest.mark.parametrize('classes', CLASSES)
def test_equals_the_paper(call, classes):
    reference = partial(soft_iou_loss, classes=classes)
    assert_equals_reference(SoftIoULoss(classes=classes), reference, *call)


@pytest.mark.parametrize('classes', CLASSES)
def test_equals_the_paper_per_image(call, classes):
    loss = SoftIoULoss(per_image=True, classes=classes)
    assert_equals_reference(loss, per_image(len(call[0]), classes), *call)


@pytest.mark.parametrize('classes', CLASSES)
def test_precision_of_the_arithmetic(classes, dtype):
    reference = partial(soft_iou_loss, classes=classes)
    plain = partial(eager, classes=classes)
    assert_precise(SoftIoULoss(classes=classes), reference, plain, dtype)


def test_precision_of_the_arithmetic_per_image(dtype):
    def plain(logits, target):
        return sum(eager(z[None], y[None]) for z, y in zip(logits, target)) / len(logits)

    assert_precise(SoftIoULoss(per_image=True), per_image(2), plain, dtype)


def test_images_without_a_label_do_not_count():
    logits, target = make_batch((3, 5, 7, 6), (3, 7, 6))
    target[1] = 255
    loss = SoftIoULoss(per_image=True)
    value, grad = value_and_gradient(loss, logits, target)
    kept = torch.tensor([0, 2])
    expected, expected_grad = value_and_gradient(loss, logits[kept], target[kept])
    torch.testing.assert_close(value, expected, **FLOAT64)
    torch.testing.assert_close(grad[kept], expected_grad, **FLOAT64)
    assert (grad[1] == 0).all()


def test_one_image_is_the_batch():
    batch = make_batch((1, 5, 7, 6), (1, 7, 6))
    torch.testing.assert_close(SoftIoULoss(per_image=True)(*batch), SoftIoULoss()(*batch))


def test_per_image_takes_no_batch_of_classification_apart():
    """Each of ``(N, C)`` logits is an image of one position: 1 - mean p_y."""
    logits, target = make_batch((9, 5), (9,))
    valid = target != 255
    p = logits.softmax(1)[valid].gather(1, target[valid, None])
    torch.testing.assert_close(SoftIoULoss(per_image=True)(logits, target), 1 - p.mean())


@pytest.mark.parametrize('classes', CLASSES)
def test_certain_and_right_is_zero(classes):
    value = SoftIoULoss(classes=classes)(1e4 * torch.eye(3), torch.arange(3))
    assert value == 0


def test_absent_classes_have_no_overlap():
    """Right about the one class there is: 0 of 1 missed, or 2 of 3 classes."""
    logits = torch.tensor([[1e4, 0.0, 0.0]])
    assert SoftIoULoss()(logits, torch.tensor([0])) == 0
    torch.testing.assert_close(
        SoftIoULoss(classes='all')(logits, torch.tensor([0])), torch.tensor(2 / 3)
    )


@pytest.mark.parametrize('per_image', [False, True])
def test_avg_factor_has_no_meaning(per_image):
    batch = make_batch((2, 5, 7, 6), (2, 7, 6))
    loss = SoftIoULoss(per_image=per_image)
    assert loss(*batch, avg_factor=3) == loss(*batch)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="classes must be one of 'present', 'all', but got 'each'"):
        SoftIoULoss(classes='each')
