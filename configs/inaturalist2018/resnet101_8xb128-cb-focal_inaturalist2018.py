_base_ = './resnet50_8xb128-cb-focal_inaturalist2018.py'
model = dict(backbone=dict(depth=101))
