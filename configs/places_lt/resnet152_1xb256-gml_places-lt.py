# Stage 2: a new classifier on the frozen features of the run with cross entropy. The paper leaves
# the settings to its supplement; these are Kang et al. 2020's for re-training a classifier.
_base_ = './resnet152_1xb128-ce_places-lt.py'
load_from = 'work_dirs/resnet152_1xb128-ce_places-lt/epoch_30.pth'
model = dict(
    backbone=dict(init_cfg=None),  # load_from has the weights
    head=dict(
        _delete_=True,
        type='EnsembleHead',
        num_classes=365,
        in_channels=2048,
        loss=dict(type='GeometricMeanLoss', class_counts='auto'),
    ),
)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=10, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=256)
custom_hooks = [
    dict(type='ClassCountsHook'),
    dict(type='FreezeHook', prefixes=['backbone', 'neck']),
]
