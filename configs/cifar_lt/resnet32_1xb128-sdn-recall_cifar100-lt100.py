# The recall loss paper has no CIFAR: alpha and the normalizer are ours, as on CIFAR-10. So is beta:
# the features are not re-weighted, so the classifier must be. 0.999 weighs the rarest class 79
# times the most frequent, as 0.9999 does on CIFAR-10; cb-softmax's 0.9 would be nearly plain cross
# entropy.
_base_ = './resnet32_1xb128-ce_cifar100-lt100.py'
model = dict(
    head=dict(
        _delete_=True,
        type='SDNHead',
        num_classes=100,
        in_channels=64,
        feature_loss=dict(type='RecallLoss', alpha=0.1, normalizer='weight', num_classes=100),
        classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto', beta=0.999),
    )
)
