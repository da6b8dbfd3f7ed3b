# Drawn on the fly: nothing to download. Every training image is new, so no augmentation.
dataset_type = 'ToyStreets'
size = (192, 128)  # width, height
pipeline = [dict(type='LoadToyStreets'), dict(type='PackSegInputs')]
# Images of one's own, for mmseg.apis.inference_model.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,  # drawing takes milliseconds, a worker would only take the model's core
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type=dataset_type, num_images=4000, size=size, seed=0, pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type, num_images=100, size=size, seed=1, pipeline=pipeline, test_mode=True
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
