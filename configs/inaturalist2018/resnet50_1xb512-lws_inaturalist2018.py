# Stage 2: Kang et al. 2020, on the features of the run with cross entropy.
_base_ = './resnet50_1xb128-ce_inaturalist2018.py'
load_from = 'work_dirs/resnet50_1xb128-ce_inaturalist2018/epoch_90.pth'
model = dict(
    head=dict(
        _delete_=True,
        type='LearnableWeightScalingHead',
        num_classes=8142,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    )
)
train_dataloader = dict(batch_size=512, sampler=dict(_delete_=True, type='ClassAwareSampler'))
optim_wrapper = dict(optimizer=dict(lr=0.2))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=5, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=5)
auto_scale_lr = dict(base_batch_size=512)
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', prefixes=['backbone', 'neck'])]
