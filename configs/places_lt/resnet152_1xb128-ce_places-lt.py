_base_ = [
    '../_base_/models/resnet152.py',
    '../_base_/datasets/places_lt.py',
    '../_base_/schedules/places_lt_30e.py',
    '../_base_/default_runtime_classification.py',
]
pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet152')
model = dict(backbone=dict(init_cfg=pretrained), head=dict(num_classes=365))
default_hooks = dict(checkpoint=dict(save_best='hmean_recall', rule='greater'))
