_base_ = [
    './deeplabv3plus_r18-d16_1xb4-ce-600i_toy-streets-288x192.py',
    '../_base_/losses/recall.py',
]
model = dict(decode_head=dict(loss_decode={{_base_.loss}}))
custom_hooks = [*_base_.custom_hooks, dict(type='RecallWeightsHook', interval=10)]
