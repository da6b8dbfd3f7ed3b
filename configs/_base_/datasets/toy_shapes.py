# projects/toy_shapes/create.py draws it.
dataset_type = 'LVISV05Dataset'
data_root = '{{$TOY_SHAPES_ROOT:data/toy_shapes}}'
classes = (
    *('disc', 'octagon', 'hexagon'),
    *('square', 'trapezoid', 'parallelogram'),
    *('triangle', 'kite', 'arrowhead'),
    *('five-pointed star', 'six-pointed star', 'seven-pointed star'),
    *('cross', 'tee', 'elbow'),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),  # as they are; for scale_factor
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,  # loading takes milliseconds, a worker would only take the model's core
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/toy_shapes_train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=classes),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/toy_shapes_val.json',
        data_prefix=dict(img='val/'),
        metainfo=dict(classes=classes),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='LVISMetric',
    ann_file=f'{data_root}/annotations/toy_shapes_val.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
