_base_ = [
    '../_base_/models/resnet32_cifar.py',
    '../_base_/datasets/cifar10_lt100_folder.py',
    '../_base_/schedules/cifar_lt_30e.py',
    '../_base_/default_runtime_classification.py',
]
