# Balanced Meta-Softmax, Table 2: LDAM Loss, without deferred re-weighting.
_base_ = './resnet32_1xb512-ce_cifar100-lt100.py'
# LDAM's logits are cosines: MMPretrain's normalised classifier, without its own scale and margin.
model = dict(
    head=dict(
        _delete_=True,
        type='ArcFaceClsHead',
        num_classes=100,
        in_channels=64,
        scale=1.0,
        margins=0.0,
        loss=dict(type='LDAMLoss', class_counts='auto'),
    )
)
