_base_ = ['./resnet10_4xb128-ce_imagenet-lt.py', '../_base_/losses/focal.py']
model = dict(head=dict(loss={{_base_.loss}}))
