# The crops of the class-balanced loss's released code: bicubic, and in tests the central
# 320/366 of the shorter side.
train_320px = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=320, interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_320px = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=366, edge='short', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=320),
    dict(type='PackInputs'),
]
