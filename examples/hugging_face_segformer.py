"""RecallLoss for SegFormer of Hugging Face's transformers, through ``Trainer``.

Needs this package and ``pip install transformers accelerate``. The model is a small one with random
weights, so that nothing is downloaded; yours comes from ``from_pretrained``.
"""

import argparse

import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, Trainer
from transformers import TrainingArguments as Arguments

from mmseg_recall.losses import RecallLoss


class Scenes(torch.utils.data.Dataset):
    """Images with a small square of a rare class. Replace them by your own data."""

    def __len__(self):
        return 200

    def __getitem__(self, index):
        random = torch.Generator().manual_seed(index)
        labels = torch.zeros(64, 64, dtype=torch.long)
        labels[32:] = 1
        y, x = torch.randint(0, 56, (2,), generator=random)
        labels[y : y + 6, x : x + 6] = 2
        pixel_values = torch.randn(3, 64, 64, generator=random) + labels
        return dict(pixel_values=pixel_values, labels=labels)


def make_model():
    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 64, 96], decoder_hidden_size=64, num_labels=3
    )
    model = SegformerForSemanticSegmentation(config)
    # In the model, so that it knows training from evaluation and is on the model's device.
    model.criterion = RecallLoss()
    return model


def main(steps):
    torch.manual_seed(0)
    model = make_model()

    def compute_loss(outputs, labels, num_items_in_batch=None):
        # SegFormer's logits have a quarter of the labels' resolution: give them as they are.
        return model.criterion(outputs.logits, labels)

    arguments = Arguments(
        output_dir='work_dirs/segformer',
        max_steps=steps,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        logging_steps=1,
        save_strategy='no',
        report_to='none',
        disable_tqdm=True,
        # The loss is the mean over all processes already. By default Trainer takes it for a sum
        # over tokens, and multiplies it by the number of processes.
        average_tokens_across_devices=False,
    )
    trainer = Trainer(model, arguments, train_dataset=Scenes(), compute_loss_func=compute_loss)
    # For the same reason: with gradient accumulation Trainer has to divide by the number of steps.
    trainer.loss_is_scaled_for_ga = False
    trainer.train()


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', type=int, default=100)
    main(parser.parse_args().steps)
