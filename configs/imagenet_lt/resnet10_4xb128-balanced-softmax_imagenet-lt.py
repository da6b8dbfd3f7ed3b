_base_ = ['./resnet10_4xb128-ce_imagenet-lt.py', '../_base_/losses/balanced_softmax.py']
model = dict(head=dict(loss={{_base_.loss}}))
