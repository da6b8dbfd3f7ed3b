_base_ = './deeplabv3_r18-d8.py'
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(in_channels=2048, channels=512),
)
