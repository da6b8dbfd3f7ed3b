# The recall loss paper has no CIFAR: alpha is ours; beta as in cb-softmax.
_base_ = './resnet32_1xb128-ce_cifar100-lt100.py'
model = dict(
    head=dict(
        _delete_=True,
        type='SDNHead',
        num_classes=100,
        in_channels=64,
        feature_loss=dict(type='RecallLoss', alpha=0.1, num_classes=100),
        classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto', beta=0.9),
    )
)
