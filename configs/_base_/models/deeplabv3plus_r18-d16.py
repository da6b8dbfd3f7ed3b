# DeepLabV3+ (ResNet-18 of half its width, output stride 16), small enough for a CPU. Its decoder
# adds the features at stride 4, which draw outlines that cells of 16 pixels cannot.
_base_ = ['./deeplabv3_r18-d16.py']
model = dict(
    backbone=dict(stem_channels=32, base_channels=32),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=256,
        channels=64,
        c1_in_channels=32,
        c1_channels=24,
    ),
)
