_base_ = [
    '../_base_/models/deeplabv3_r101-d8.py',
    '../_base_/datasets/synthia_seq.py',
    '../_base_/schedules/schedule_adam_100k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(384, 768)),
    decode_head=dict(num_classes=13),
)
