# Long-tailed CIFAR-10: the most frequent class has imbalance_factor times as many images as the
# rarest. MMPretrain downloads CIFAR-10 into data/cifar10, or what the environment variable
# CIFAR10_ROOT names.
dataset_type = 'CIFAR10LT'
data_root = '{{$CIFAR10_ROOT:data/cifar10}}'
data_preprocessor = dict(
    num_classes=10,
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
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
