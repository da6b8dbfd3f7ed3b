_base_ = ['./deeplabv3_r18-d8_1xb6-ce-100k_synthia-768x384.py', '../_base_/losses/recall.py']
model = dict(decode_head=dict(loss_decode={{_base_.loss}}))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='LabelCheckHook'),
    dict(type='RecallWeightsHook', interval=100),
]
