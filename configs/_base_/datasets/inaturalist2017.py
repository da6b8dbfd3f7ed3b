# iNaturalist2017 by the competition's annotations. The root is data/inaturalist2017, or what the
# environment variable INATURALIST2017_ROOT names.
_base_ = './pipelines/bicubic_224px.py'
dataset_type = 'INaturalist2017'
data_root = '{{$INATURALIST2017_ROOT:data/inaturalist2017}}'
data_preprocessor = dict(
    num_classes=5089,
    mean=[118.83, 120.105, 96.9],
    std=[49.725, 49.47, 48.96],
    to_rgb=True,
)
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train2017.json',
        pipeline={{_base_.train_224px}},
    ),
)
# Papers report the validation images: no save_best, which would choose the checkpoint on them.
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='val2017.json',
        pipeline={{_base_.test_224px}},
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='LongTailAccuracy', class_counts='auto'),
    dict(type='Accuracy', topk=(1, 5)),
]
test_evaluator = val_evaluator
