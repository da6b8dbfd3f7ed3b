_base_ = ['./resnet32_1xb128-ce_cifar100-lt100.py', '../_base_/losses/balanced_softmax.py']
model = dict(head=dict(loss={{_base_.loss}}))
