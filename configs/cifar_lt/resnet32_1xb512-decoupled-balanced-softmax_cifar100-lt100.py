# Balanced Meta-Softmax, Table 5, row 6: a new classifier on the frozen features of the run with
# cross entropy. The old one stays in the model, but has no part in predictions.
_base_ = [
    '../_base_/models/resnet32_cifar.py',
    '../_base_/datasets/cifar100_lt_autoaugment.py',
    '../_base_/schedules/{{$CIFAR_LT_STAGE2:cifar_lt_stage2_2000i}}.py',
    '../_base_/default_runtime_classification.py',
]
load_from = 'work_dirs/resnet32_1xb512-ce_cifar100-lt100/iter_13000.pth'
model = dict(
    head=dict(
        _delete_=True,
        type='EnsembleHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='BalancedSoftmaxLoss', class_counts='auto'),
        ensemble=False,
    )
)
train_dataloader = dict(batch_size=512)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', prefixes=['backbone', 'neck'])]
