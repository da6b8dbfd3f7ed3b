# Balanced Meta-Softmax, Table 5, row 3; row 2 with tau=0.25.
_base_ = ['./resnet32_1xb512-ce_cifar10-lt100.py', '../_base_/losses/balanced_softmax.py']
model = dict(head=dict(loss={{_base_.loss}}))
