_base_ = './deeplabv3_r101-d8_1xb6-ce-100k_synthia-768x384.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss')))
custom_hooks = [dict(type='LabelCheckHook'), dict(type='RecallWeightsHook', interval=100)]
