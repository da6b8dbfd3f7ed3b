# AutoAugment's 25 policies for CIFAR-10 (Cubuk et al. 2019), of which an image gets one, then
# Cutout (DeVries and Taylor 2017), as Balanced Meta-Softmax' released code has them. Magnitudes are
# level / 9 of the largest: 0.3 for shear, 150 / 331 of the image for translation, 30 degrees, 0.9
# for the others; thresholds fall from 256 to 0, bits from 8 to 4.
policies = [
    [dict(type='Invert', prob=0.1), dict(type='Contrast', magnitude=0.6, prob=0.2)],
    [
        # Grey in all channels: OpenCV has a single number for the first alone.
        dict(type='Rotate', angle=30 / 9 * 2, pad_val=(128, 128, 128), prob=0.7),
        dict(type='Translate', magnitude=150 / 331, direction='horizontal', prob=0.3),
    ],
    [
        dict(type='Sharpness', magnitude=0.1, prob=0.8),
        dict(type='Sharpness', magnitude=0.3, prob=0.9),
    ],
    [
        dict(type='Shear', magnitude=0.3 / 9 * 8, direction='vertical', prob=0.5),
        dict(type='Translate', magnitude=150 / 331, direction='vertical', prob=0.7),
    ],
    [dict(type='AutoContrast', prob=0.5), dict(type='Equalize', prob=0.9)],
    [
        dict(type='Shear', magnitude=0.3 / 9 * 7, direction='vertical', prob=0.2),
        dict(type='Posterize', bits=5, prob=0.3),
    ],
    [
        dict(type='ColorTransform', magnitude=0.3, prob=0.4),
        dict(type='Brightness', magnitude=0.7, prob=0.6),
    ],
    [
        dict(type='Sharpness', magnitude=0.9, prob=0.3),
        dict(type='Brightness', magnitude=0.9, prob=0.7),
    ],
    [dict(type='Equalize', prob=0.6), dict(type='Equalize', prob=0.5)],
    [
        dict(type='Contrast', magnitude=0.7, prob=0.6),
        dict(type='Sharpness', magnitude=0.5, prob=0.6),
    ],
    [
        dict(type='ColorTransform', magnitude=0.7, prob=0.7),
        dict(type='Translate', magnitude=150 / 331 / 9 * 8, direction='horizontal', prob=0.5),
    ],
    [dict(type='Equalize', prob=0.3), dict(type='AutoContrast', prob=0.4)],
    [
        dict(type='Translate', magnitude=150 / 331 / 9 * 3, direction='vertical', prob=0.4),
        dict(type='Sharpness', magnitude=0.6, prob=0.2),
    ],
    [
        dict(type='Brightness', magnitude=0.6, prob=0.9),
        dict(type='ColorTransform', magnitude=0.8, prob=0.2),
    ],
    [dict(type='Solarize', thr=256 / 9 * 7, prob=0.5), dict(type='Invert', prob=0.0)],
    [dict(type='Equalize', prob=0.2), dict(type='AutoContrast', prob=0.6)],
    [dict(type='Equalize', prob=0.2), dict(type='Equalize', prob=0.6)],
    [dict(type='ColorTransform', magnitude=0.9, prob=0.9), dict(type='Equalize', prob=0.6)],
    [dict(type='AutoContrast', prob=0.8), dict(type='Solarize', thr=256 / 9, prob=0.2)],
    [
        dict(type='Brightness', magnitude=0.3, prob=0.1),
        dict(type='ColorTransform', magnitude=0.0, prob=0.7),
    ],
    [dict(type='Solarize', thr=256 / 9 * 4, prob=0.4), dict(type='AutoContrast', prob=0.9)],
    [
        dict(type='Translate', magnitude=150 / 331, direction='vertical', prob=0.9),
        dict(type='Translate', magnitude=150 / 331, direction='vertical', prob=0.7),
    ],
    [dict(type='AutoContrast', prob=0.9), dict(type='Solarize', thr=256 / 9 * 6, prob=0.8)],
    [dict(type='Equalize', prob=0.8), dict(type='Invert', prob=0.1)],
    [
        dict(type='Translate', magnitude=150 / 331, direction='vertical', prob=0.7),
        dict(type='AutoContrast', prob=0.9),
    ],
]
autoaugment_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='AutoAugment', policies=policies),
    dict(type='Cutout', shape=16, pad_val=0, prob=1.0),
    dict(type='PackInputs'),
]
del policies
