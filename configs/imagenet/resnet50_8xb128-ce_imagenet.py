_base_ = [
    '../_base_/models/resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_bs1024_90e.py',
    '../_base_/default_runtime_classification.py',
]
