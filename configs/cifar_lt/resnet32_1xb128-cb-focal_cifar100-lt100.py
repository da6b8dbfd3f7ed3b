# gamma: Table 2 of the paper, imbalance 100.
_base_ = './resnet32_1xb128-cb-sigmoid_cifar100-lt100.py'
model = dict(head=dict(loss=dict(base='focal', gamma=1.0)))
