_base_ = './deeplabv3_r18-d16_1xb4-ce-600i_toy-streets-192x128.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='SoftmaxFocalLoss', gamma=1.0)))
