_base_ = [
    '../_base_/models/resnet50.py',
    '../_base_/datasets/inaturalist2017.py',
    '../_base_/schedules/imagenet_bs1024_90e.py',
    '../_base_/default_runtime_classification.py',
]
model = dict(head=dict(num_classes=5089))
