_base_ = ['./deeplabv3_r101-d8_1xb6-ce-90k_cityscapes-769x769.py', '../_base_/losses/recall.py']
model = dict(decode_head=dict(loss_decode={{_base_.loss}}))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='LabelCheckHook'),
    dict(type='RecallWeightsHook', interval=100),
]
