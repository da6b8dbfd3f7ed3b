# Stage 2: a new classifier on the frozen features of the run with cross entropy. The paper leaves
# the settings to its supplement; these are Kang et al. 2020's for re-training a classifier.
_base_ = './resnext50-32x4d_4xb128-ce_imagenet-lt.py'
load_from = 'work_dirs/resnext50-32x4d_4xb128-ce_imagenet-lt/epoch_90.pth'
model = dict(
    head=dict(
        _delete_=True,
        type='EnsembleHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='GeometricMeanLoss', class_counts='auto'),
    )
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=10, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=10, val_interval=1)
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', prefixes=['backbone', 'neck'])]
