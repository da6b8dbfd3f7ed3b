"""RecallLoss and SoftIoULoss for a model of segmentation_models.pytorch.

Needs this package and ``pip install segmentation-models-pytorch``. ``encoder_weights=None``
downloads nothing; take ``'imagenet'`` for a real training.
"""

import argparse

import segmentation_models_pytorch as smp
import torch

from mmseg_recall.losses import RecallLoss, SoftIoULoss


def make_batch(size=64, batch=4):
    """Replace these images and labels by your own."""
    target = torch.zeros(batch, size, size, dtype=torch.long)
    target[:, size // 2 :] = 1
    for label, y, x in zip(target, *torch.randint(0, size - 6, (2, batch))):
        label[y : y + 6, x : x + 6] = 2
    return torch.randn(batch, 3, size, size) + target[:, None], target


def main(steps):
    torch.manual_seed(0)
    model = smp.Unet('resnet18', encoder_weights=None, classes=3)
    recall_loss, iou_loss = RecallLoss(), SoftIoULoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(1, steps + 1):
        images, target = make_batch()
        logits = model(images)
        value = recall_loss(logits, target) + 0.5 * iou_loss(logits, target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        print(f'step {step}: loss {value:.4f}')

    # Scores of the trained model, by the library's own functions. Here they are of one batch.
    images, target = make_batch()
    with torch.no_grad():
        predicted = model.eval()(images).argmax(1)
    totals = smp.metrics.get_stats(predicted, target, mode='multiclass', num_classes=3)
    iou = smp.metrics.iou_score(*totals, reduction='none').mean(0)
    print('IoU of each class:', *(f'{score:.3f}' for score in iou))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', type=int, default=100)
    main(parser.parse_args().steps)
