"""Folders as trainings leave them: config, checkpoint and scalars, in seconds."""

from mmengine.registry import DefaultScope

from tests.tiny_images import build_runner
from tests.toy_runner import toy_config

VALIDATION = dict(
    val_cfg=dict(type='ValLoop'),
    val_evaluator=dict(type='LongTailIoUMetric', per_class=True),
    val_dataloader=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='ToyStreets',
            num_images=5,
            size=(48, 32),
            seed=1,
            pipeline=[dict(type='LoadToyStreets'), dict(type='PackSegInputs')],
            test_mode=True,
        ),
    ),
)


def segmentation_run(folder, loss_decode, **overrides):
    """Train on drawings and score on five others; the scores as the training logs them."""
    from mmengine.runner import Runner

    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(toy_config(folder, loss_decode, **VALIDATION, **overrides))
        runner.train()
        return runner.val_loop.run()


def classification_run(folder, loss, **overrides):
    """Train on noise and score on the same images; the scores as the training logs them."""
    evaluator = dict(type='LongTailAccuracy', class_counts=[200, 50, 5], per_class=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = dict(type='LinearClsHead', loss=loss)
        runner = build_runner(folder, head, val_evaluator=evaluator, **overrides)
        runner.train()
        return runner.val_loop.run()
