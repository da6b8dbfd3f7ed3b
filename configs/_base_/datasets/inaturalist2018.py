# iNaturalist2018 by the competition's annotations. The root is data/inaturalist2018, or what the
# environment variable INATURALIST2018_ROOT names.
dataset_type = 'INaturalist2018'
data_root = '{{$INATURALIST2018_ROOT:data/inaturalist2018}}'
# Mean, deviation and transforms of Kang et al. 2020.
data_preprocessor = dict(
    num_classes=8142,
    mean=[118.83, 120.105, 96.9],
    std=[49.725, 49.47, 48.96],
    to_rgb=True,
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train2018.json',
        pipeline=train_pipeline,
    ),
)
# The labels of the competition's test images were never published: papers report val2018. So no
# save_best here, which would choose the checkpoint on what is reported.
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='val2018.json',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='LongTailAccuracy', class_counts='auto')
test_evaluator = val_evaluator
