_base_ = [
    '../_base_/models/resnet152.py',
    '../_base_/datasets/places_lt.py',
    '../_base_/schedules/places_lt_30e.py',
    '../_base_/default_runtime_classification.py',
]
pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet152')
model = dict(backbone=dict(init_cfg=pretrained), head=dict(num_classes=365))
default_hooks = dict(checkpoint=dict(save_best='hmean_recall', rule='greater'))
# Kang et al. 2020 train the last block and the classifier alone (classifier-balancing, issues 2
# and 4): see README.md.
frozen = ['conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4.0', 'layer4.1']
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FreezeHook', prefixes=[f'backbone.{part}' for part in frozen]),
]
