_base_ = [
    './resnet50_8xb128-cb-focal_inaturalist2018.py',
    '../_base_/datasets/pipelines/bicubic_320px.py',
]
train_dataloader = dict(dataset=dict(pipeline={{_base_.train_320px}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_320px}}))
test_dataloader = val_dataloader
