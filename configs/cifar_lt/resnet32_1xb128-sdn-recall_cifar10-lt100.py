# The recall loss paper has no CIFAR: alpha is ours.
_base_ = './resnet32_1xb128-sdn-ce_cifar10-lt100.py'
model = dict(
    head=dict(feature_loss=dict(_delete_=True, type='RecallLoss', alpha=0.1, num_classes=10))
)
