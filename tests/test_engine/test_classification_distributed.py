"""Two real processes (gloo) through the Runner against one with all of each batch."""

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmpretrain.registry import MODELS
from torch import nn

from mmseg_recall.engine.runner import AnyDeviceRunner
from tests import tiny_images
from tests.processes import in_two_processes
from tests.tolerances import DISTRIBUTED, assert_relative

SCOPE = 'mmpretrain'

HEAD = dict(
    type='SDNHead',
    feature_loss=dict(type='RecallLoss', alpha=0.3, sync=True),
    classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto', beta=0.9),
)
#: With the learning rate below it tells some of the images apart, and not all.
EPOCHS = 7


@MODELS.register_module(force=True)
class BackboneWithoutBatchNorm(nn.Module):
    """Nothing in it looks at other images, so the processes' shares make no difference."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return (self.conv(images).relu().mean((2, 3)),)


def train(work_dir, batch_size, **options):
    """Weights after two epochs, counts and scores at the end.

    The 17 images of the evaluation do not divide by two processes.
    """
    options |= {
        'model.backbone.type': 'BackboneWithoutBatchNorm',
        'optim_wrapper.optimizer': dict(lr=0.2, weight_decay=0),
        'train_dataloader.batch_size': batch_size,
        'val_dataloader.dataset.indices': 17,
        'val_evaluator': dict(type='LongTailAccuracy', class_counts='auto', thresholds=(4, 8)),
        'custom_hooks': [dict(type='ClassCountsHook', num_workers=0)],
    }
    runner = tiny_images.build_runner(work_dir, HEAD, max_epochs=EPOCHS, **options)
    runner.train()
    checkpoint = torch.load(work_dir / 'epoch_2.pth', map_location='cpu', weights_only=False)
    (metric,) = runner.val_evaluator.metrics
    return dict(
        state=checkpoint['state_dict'],
        counts=metric.class_counts.tolist(),
        scores=runner.val_loop.run(),
        batches=len(runner.train_dataloader),
    )


def train_as_one_of_two(rank, folder):
    tiny_images.Runner = AnyDeviceRunner
    return train(folder, batch_size=3, launcher='pytorch')


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """Of one process, and of each of two."""
    folder = tmp_path_factory.mktemp('distributed')
    two = in_two_processes(train_as_one_of_two, folder / 'two', join=False)
    return train(folder / 'one', batch_size=6), *two


def test_sdn_ends_with_the_same_weights(results):
    """After six steps: losses of totals, a moving average of recall, counts of the training set."""
    one, *two = results
    assert one['batches'] == two[0]['batches'] == 3
    recall = one['state']['head.feature_loss_module.recall']
    assert (recall > 0).any() and (recall < 1).all()
    for of_two in two:
        assert of_two['state'].keys() == one['state'].keys()
        for name, value in one['state'].items():
            assert_relative(of_two['state'][name], value, DISTRIBUTED)


def test_long_tail_accuracy_is_the_same(results):
    one, *two = results
    assert 0 < one['scores']['lowest_recall'] < one['scores']['top1'] < 100
    for of_two in two:
        assert of_two['counts'] == one['counts'] == tiny_images.CLASSES
        assert of_two['scores'] == pytest.approx(one['scores'])
