_base_ = './resnet32_1xb128-ce_cifar10-lt100.py'
# beta as in cb-softmax.
model = dict(
    head=dict(
        _delete_=True,
        type='SDNHead',
        num_classes=10,
        in_channels=64,
        feature_loss=dict(type='CrossEntropyLoss'),
        classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto', beta=0.9999),
    )
)
