# Long-tailed CIFAR-100: the most frequent class has imbalance_factor times as many images as the
# rarest. MMPretrain downloads CIFAR-100 into data/cifar100, or what the environment variable
# CIFAR100_ROOT names.
dataset_type = 'CIFAR100LT'
data_root = '{{$CIFAR100_ROOT:data/cifar100}}'
data_preprocessor = dict(
    num_classes=100,
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
    to_rgb=False,  # the files hold RGB
)
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        imbalance_factor=100,
        pipeline=train_pipeline,
    ),
)
# CIFAR's balanced test set, on which the papers report. So no save_best, which would choose the
# checkpoint on what is reported.
val_dataloader = dict(
    batch_size=250,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split='test', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='LongTailAccuracy', class_counts='auto')
test_evaluator = val_evaluator
