# DeepLabV3+ (ResNet-18 of a quarter of its width, output stride 16), small enough for a CPU. Its
# decoder adds the features at stride 4, which draw outlines that cells of 16 pixels cannot.
_base_ = ['./deeplabv3_r18-d16.py']
model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=128,
        channels=64,
        c1_in_channels=16,
        c1_channels=48,
    ),
)
