# Stage 2: a new classifier on the frozen features of the run with cross entropy. The paper leaves
# the settings to its supplement; these are those of Balanced Meta-Softmax' released configs.
_base_ = './resnet32_1xb128-ce_cifar10-lt100.py'
load_from = 'work_dirs/resnet32_1xb128-ce_cifar10-lt100/epoch_200.pth'
model = dict(
    head=dict(
        _delete_=True,
        type='EnsembleHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='GeometricMeanLoss', class_counts='auto'),
    )
)
train_dataloader = dict(batch_size=512)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=2000, by_epoch=False)]
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=512)
custom_hooks = [
    dict(type='ClassCountsHook'),
    dict(type='FreezeHook', prefixes=['backbone', 'neck']),
]
