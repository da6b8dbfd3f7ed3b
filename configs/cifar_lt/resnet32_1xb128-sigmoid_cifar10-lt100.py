# Class-balanced loss, Table 2: the sigmoid baseline.
_base_ = './resnet32_1xb128-cb-sigmoid_cifar10-lt100.py'
model = dict(head=dict(loss=dict(beta=0.0)))
