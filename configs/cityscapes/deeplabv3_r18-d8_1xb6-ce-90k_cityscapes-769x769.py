_base_ = [
    '../_base_/models/deeplabv3_r18-d8.py',
    '../_base_/datasets/cityscapes_769x769.py',
    '../_base_/schedules/schedule_adam_90k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(769, 769)),
    decode_head=dict(align_corners=True),
)
