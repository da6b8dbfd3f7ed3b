# Balanced Meta-Softmax, Table 2: LWS (Kang et al. 2020).
_base_ = './resnet32_1xb512-decoupled-balanced-softmax_cifar10-lt100.py'
model = dict(
    head=dict(
        _delete_=True,
        type='LearnableWeightScalingHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    )
)
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
