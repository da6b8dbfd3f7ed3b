_base_ = ['./resnet152_1xb128-ce_places-lt.py', '../_base_/losses/focal.py']
model = dict(head=dict(loss={{_base_.loss}}))
