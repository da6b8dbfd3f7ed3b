# scikit-learn's handwritten digits, 8 x 8, long-tailed: 114 images of 0 down to 4 of 9. Nothing to
# download. The test set is balanced, 60 images a class.
dataset_type = 'DigitsLT'
data_preprocessor = dict(num_classes=10, mean=[127.5], std=[127.5], to_rgb=False)
train_pipeline = [
    dict(type='Resize', scale=32),  # what LeNet-5 takes
    dict(type='RandomCrop', crop_size=32, padding=4),  # shifts by up to one pixel of the 8 x 8
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # a worker would only take the model's core
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type, split='train', imbalance_factor=25, seed=0, pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=200,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, split='test', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
# Of 364 images: many-shot are the digits 0 to 2, medium 3 to 6, few 7 to 9.
val_evaluator = dict(
    type='LongTailAccuracy', class_counts='auto', thresholds=(10, 40), per_class=True
)
test_evaluator = val_evaluator
