_base_ = ['./deeplabv3_r18-d16_1xb8-ce-1200i_camvid-240x180.py', '../_base_/losses/recall.py']
model = dict(decode_head=dict(loss_decode={{_base_.loss}}))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='LabelCheckHook'),
    dict(type='RecallWeightsHook', interval=10),
]
