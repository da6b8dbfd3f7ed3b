# Stage 2: Kang et al. 2020, 5 epochs.
_base_ = './resnet10_4xb128-gml_imagenet-lt.py'
model = dict(
    head=dict(
        _delete_=True,
        type='LearnableWeightScalingHead',
        num_classes=1000,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    )
)
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=5, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=5)
