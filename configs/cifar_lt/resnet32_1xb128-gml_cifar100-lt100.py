# No One Left Behind, Table 9: from scratch.
_base_ = ['./resnet32_1xb128-ce_cifar100-lt100.py', '../_base_/losses/geometric_mean.py']
model = dict(head=dict(loss={{_base_.loss}}))
