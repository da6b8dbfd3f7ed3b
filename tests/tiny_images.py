"""A tiny classifier, and a Runner that trains it in seconds on drawn noise."""

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

import mmseg_recall  # noqa: F401

#: Images of each class.
CLASSES = [9, 6, 3]


@DATASETS.register_module(force=True)
class TinyImages(BaseDataset):
    METAINFO = dict(classes=('many', 'medium', 'few'))

    def load_data_list(self):
        labels = [label for label, count in enumerate(CLASSES) for _ in range(count)]
        return [dict(gt_label=label, seed=seed) for seed, label in enumerate(labels)]

    def prepare_data(self, idx):
        info = self.get_data_info(idx)
        noise = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(info['seed']))
        sample = DataSample().set_gt_label(info['gt_label'])
        return dict(inputs=noise + info['gt_label'], data_samples=sample)


@MODELS.register_module(force=True)
class TinyBackbone(nn.Module):
    """Batch-norm with statistics to move, and features of 4 channels."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(nn.Conv2d(8, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.layer10 = nn.BatchNorm2d(4)

    def forward(self, images):
        features = self.layer1(self.bn1(self.conv1(images)).relu())
        return (self.layer10(features).relu().mean((2, 3)),)


def model_config(head):
    head = dict(dict(num_classes=len(CLASSES), in_channels=4), **head)
    backbone = dict(type='TinyBackbone')
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(num_classes=len(CLASSES), mean=[0] * 3, std=[1] * 3, to_rgb=False),
        backbone=backbone,
        head=head,
    )


def build_model(head):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(model_config(head))
    model.init_weights()
    return model


def build_runner(work_dir, head, max_epochs=1, **overrides):
    """Train on all images; overrides as in ``--cfg-options``."""
    dataset = dict(type='TinyImages')
    loader = dict(batch_size=6, num_workers=0, dataset=dataset)
    config = Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(work_dir),
            experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
            model=model_config(head),
            train_dataloader=dict(**loader, sampler=dict(type='DefaultSampler', shuffle=True)),
            val_dataloader=dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False)),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1)),
            train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
            val_cfg=dict(),
            val_evaluator=dict(type='Accuracy'),
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
            visualizer=dict(
                type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
            ),
            randomness=dict(seed=0),
        )
    )
    config.merge_from_dict(overrides)
    return Runner.from_cfg(config)
