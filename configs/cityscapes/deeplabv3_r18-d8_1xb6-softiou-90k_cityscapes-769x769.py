_base_ = './deeplabv3_r18-d8_1xb6-ce-90k_cityscapes-769x769.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='SoftIoULoss')))
