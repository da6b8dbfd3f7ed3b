_base_ = './resnet50_1xb128-ldam_inaturalist2018.py'
custom_hooks = [
    *_base_.custom_hooks,
    # After four fifths of the training, as on CIFAR-LT; the recall loss paper doesn't say.
    dict(type='DeferredReweightingHook', begin=72),
]
