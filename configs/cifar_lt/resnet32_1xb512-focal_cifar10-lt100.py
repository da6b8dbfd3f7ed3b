# Balanced Meta-Softmax, Table 2: Focal Loss; gamma: Lin et al. 2017, as the table says.
_base_ = './resnet32_1xb512-ce_cifar10-lt100.py'
model = dict(head=dict(loss=dict(_delete_=True, type='SoftmaxFocalLoss', gamma=2.0)))
