"""Losses for long-tailed classification in a module of Lightning.

Needs this package and ``pip install lightning``.
"""

import argparse

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mmseg_recall.losses import RecallLoss

COUNTS = [400, 120, 40, 12, 4]  # images of each class in the training set


def make_data():
    """Points in place of images; replace them by your own data."""
    labels = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    centres = torch.randn(len(COUNTS), 16)
    return TensorDataset(centres[labels] + torch.randn(len(labels), 16), labels)


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, len(COUNTS)))
        # A submodule, so that its moving average of recall is in the checkpoints. To use
        # the class counts instead: BalancedSoftmaxLoss(class_counts=COUNTS).
        self.loss = RecallLoss(alpha=0.1, num_classes=len(COUNTS))

    def training_step(self, batch, index):
        inputs, labels = batch
        value = self.loss(self.network(inputs), labels)
        self.log('train/loss', value)
        recall = self.loss.log_vars['recall']
        self.log_dict({f'recall/{label}': share for label, share in enumerate(recall)})
        return value

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Print(lightning.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        print(f'step {trainer.global_step}: loss {outputs["loss"]:.4f}')


def main(steps):
    lightning.seed_everything(0)
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator='auto',
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Print()],
    )
    trainer.fit(Classifier(), DataLoader(make_data(), batch_size=64, shuffle=True))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', type=int, default=100)
    main(parser.parse_args().steps)
