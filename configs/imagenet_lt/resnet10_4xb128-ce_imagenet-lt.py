_base_ = [
    '../_base_/models/resnet10.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/imagenet_lt_90e.py',
    '../_base_/default_runtime_classification.py',
]
default_hooks = dict(checkpoint=dict(save_best='hmean_recall', rule='greater'))
