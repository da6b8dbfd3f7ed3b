_base_ = './resnet50_1xb128-focal_inaturalist2018.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='DeferredReweightingHook', begin=60),  # as for LDAM; the paper doesn't say
]
