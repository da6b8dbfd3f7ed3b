# Class-balanced loss, Table 2: the focal baseline; gamma is 0.5, 1 or 2 there.
_base_ = './resnet32_1xb128-cb-focal_cifar10-lt100.py'
model = dict(head=dict(loss=dict(beta=0.0)))
