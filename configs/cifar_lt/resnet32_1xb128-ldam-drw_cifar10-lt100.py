_base_ = './resnet32_1xb128-ce_cifar10-lt100.py'
# LDAM's logits are cosines: MMPretrain's normalised classifier, without its own scale and margin.
model = dict(
    head=dict(
        _delete_=True,
        type='ArcFaceClsHead',
        num_classes=10,
        in_channels=64,
        scale=1.0,
        margins=0.0,
        loss=dict(type='LDAMLoss', class_counts='auto'),
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    # Cao et al. 2019: from the first fall of the learning rate on, epoch 160 of 200.
    dict(type='DeferredReweightingHook', begin=_base_.param_scheduler[1]['milestones'][0]),
]
