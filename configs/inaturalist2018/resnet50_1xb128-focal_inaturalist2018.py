_base_ = ['./resnet50_1xb128-ce_inaturalist2018.py', '../_base_/losses/focal.py']
model = dict(head=dict(loss={{_base_.loss}}))
