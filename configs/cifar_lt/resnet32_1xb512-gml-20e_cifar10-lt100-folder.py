# Stage 2 over the run with cross entropy: a new classifier beside the old one, features frozen.
_base_ = [
    '../_base_/models/resnet32_cifar.py',
    '../_base_/datasets/cifar10_lt100_folder.py',
    '../_base_/schedules/cifar_lt_stage2_20e.py',
    '../_base_/default_runtime_classification.py',
]
load_from = 'work_dirs/resnet32_1xb128-ce-30e_cifar10-lt100-folder/epoch_30.pth'
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
custom_hooks = [
    dict(type='ClassCountsHook'),
    dict(type='FreezeHook', prefixes=['backbone', 'neck']),
]
