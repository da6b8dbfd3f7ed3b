# ImageNet (ILSVRC 2012), one folder a class. The root is data/imagenet, or what the environment
# variable IMAGENET_ROOT names.
_base_ = './pipelines/bicubic_224px.py'
dataset_type = 'ImageNet'
data_root = '{{$IMAGENET_ROOT:data/imagenet}}'
data_preprocessor = dict(
    num_classes=1000,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
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
        split='train',
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
        split='val',
        pipeline={{_base_.test_224px}},
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='LongTailAccuracy', class_counts='auto'),
    dict(type='Accuracy', topk=(1, 5)),
]
test_evaluator = val_evaluator
