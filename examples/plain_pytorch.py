"""RecallLoss in a training loop of plain PyTorch.

Needs this package, torch and numpy, nothing else.
"""

import argparse

import torch
from torch import nn

from mmseg_recall.losses import RecallLoss

CLASSES = ('background', 'road', 'sign')  # the sign covers half a percent of an image


def make_batch(size=96, batch=4):
    """Replace these images and labels by your own."""
    target = torch.zeros(batch, size, size, dtype=torch.long)
    target[:, size // 2 :] = 1
    for label, y, x in zip(target, *torch.randint(8, size - 16, (2, batch))):
        label[y : y + 8, x : x + 6] = 2
    target[:, :2] = 255  # not labelled: these pixels have no gradient
    colours = torch.tensor([[0.3, 0.6, 0.9], [0.4, 0.4, 0.4], [0.9, 0.2, 0.2]])
    images = colours[target.clamp(max=2)].movedim(-1, 1)
    return images + 0.2 * torch.randn_like(images), target


def make_network(num_classes):
    """Logits at a quarter of the resolution. The loss upsamples them, without storing them."""
    layers = []
    for inputs, stride in ((3, 2), (32, 2), (32, 1)):
        layers += [nn.Conv2d(inputs, 32, 3, stride, 1), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(32, num_classes, 1))


def main(steps):
    torch.manual_seed(0)
    model, loss = make_network(len(CLASSES)), RecallLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(1, steps + 1):
        images, target = make_batch()
        value = loss(model(images), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        recall = zip(CLASSES, loss.log_vars['recall'].tolist())
        print(f'step {step}: loss {value:.4f}', *(f'{name} {r:.0%}' for name, r in recall))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', type=int, default=100)
    main(parser.parse_args().steps)
