# 4 GPUs, 2 images each, SGD and poly decay, as MMSegmentation trains DeepLabV3.
_base_ = [
    '../_base_/models/deeplabv3_r18-d8.py',
    '../_base_/datasets/synthia_seq.py',
    '../_base_/schedules/schedule_sgd_80k.py',
    '../_base_/default_runtime.py',
    '../_base_/losses/recall.py',
]
train_dataloader = dict(batch_size=2)
model = dict(
    data_preprocessor=dict(size=(384, 768)),
    decode_head=dict(num_classes=13, loss_decode={{_base_.loss}}),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='LabelCheckHook'),
    dict(type='RecallWeightsHook', interval=100),
]
