"""An MMEngine Runner on a few drawn pictures and a small network, ended in seconds."""

from mmengine.config import Config
from mmengine.runner import Runner

import mmseg_recall  # noqa: F401

CLASSES = 10


def toy_config(work_dir, loss_decode, **overrides):
    """Segmentation of 48 x 32 drawings; overrides as in ``--cfg-options``."""
    norm_cfg = dict(type='BN')
    pipeline = [dict(type='LoadToyStreets'), dict(type='PackSegInputs')]
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=dict(type='ToyStreets', num_images=16, size=(48, 32), seed=0, pipeline=pipeline),
    )
    config = Config(
        dict(
            default_scope='mmseg',
            work_dir=str(work_dir),
            experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
            model=dict(
                type='EncoderDecoder',
                data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 48)),
                backbone=dict(
                    type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm_cfg
                ),
                decode_head=dict(
                    type='FCNHead',
                    in_channels=64,
                    in_index=3,
                    channels=8,
                    num_convs=1,
                    concat_input=False,
                    dropout_ratio=0,
                    num_classes=CLASSES,
                    norm_cfg=norm_cfg,
                    loss_decode=loss_decode,
                ),
                train_cfg=dict(),
                test_cfg=dict(mode='whole'),
            ),
            train_dataloader=loader,
            optim_wrapper=dict(optimizer=dict(type='Adam', lr=1e-2)),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=8),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
            ),
            log_processor=dict(by_epoch=False),
            visualizer=dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
            randomness=dict(seed=0),
        )
    )
    config.merge_from_dict(overrides)
    return config


def build_toy_runner(work_dir, loss_decode, **overrides):
    return Runner.from_cfg(toy_config(work_dir, loss_decode, **overrides))
