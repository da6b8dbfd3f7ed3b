# Balanced Meta-Softmax, Table 5, row 8: BALMS with cross entropy.
_base_ = './resnet32_1xb512-balms_cifar10-lt100.py'
model = dict(head=dict(loss=dict(_delete_=True, type='CrossEntropyLoss', loss_weight=1.0)))
