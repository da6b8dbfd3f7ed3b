# Stage 2: a new classifier on the frozen features of the run with cross entropy. The paper leaves
# the settings to its supplement; these are those of Balanced Meta-Softmax' released configs.
_base_ = [
    '../_base_/models/resnet32_cifar.py',
    '../_base_/datasets/{{$CIFAR10_LT_DATA:cifar10_lt}}.py',
    '../_base_/schedules/{{$CIFAR_LT_STAGE2:cifar_lt_stage2_2000i}}.py',
    '../_base_/default_runtime_classification.py',
]
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
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', prefixes=['backbone', 'neck'])]
