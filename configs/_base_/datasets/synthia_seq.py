# SYNTHIA-SEQS-05-SUMMER as tools/dataset_converters/synthia_seq.py leaves it, resized to 768 x 384
# and not augmented, as in the paper. The root is data/synthia_seq, or what the environment variable
# SYNTHIA_SEQ_ROOT names. Lists: random/ as released, sorted/ in the order of the frames.
dataset_type = 'SynthiaSeq'
data_root = '{{$SYNTHIA_SEQ_ROOT:data/synthia_seq}}'
data_prefix = dict(img_path='img_dir', seg_map_path='ann_dir')
scale = (768, 384)  # width, height
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=scale),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale),
    # After Resize: scores are of the full 1280 x 760.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=6,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='random/train.txt',
        data_prefix=data_prefix,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='random/val.txt',
        data_prefix=data_prefix,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='random/test.txt',
        data_prefix=data_prefix,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='LongTailIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
