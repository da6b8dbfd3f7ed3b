# 4 GPUs, 2 images each, SGD and poly decay, as MMSegmentation trains DeepLabV3.
_base_ = [
    '../_base_/models/deeplabv3_r18-d8.py',
    '../_base_/datasets/cityscapes_769x769.py',
    '../_base_/schedules/schedule_sgd_80k.py',
    '../_base_/default_runtime.py',
    '../_base_/losses/recall.py',
]
train_dataloader = dict(batch_size=2)
model = dict(
    data_preprocessor=dict(size=(769, 769)),
    decode_head=dict(align_corners=True, loss_decode={{_base_.loss}}),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='LabelCheckHook'),
    dict(type='RecallWeightsHook', interval=100),
]
