_base_ = [
    '../_base_/models/deeplabv3_r18-d16.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/schedule_adam_1200.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(180, 240)),
    decode_head=dict(num_classes=11),
)
randomness = dict(seed=0)
