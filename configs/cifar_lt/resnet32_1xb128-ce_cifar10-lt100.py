# CIFAR10_LT_DATA=cifar10_lt100_folder reads folders of images, and CIFAR_LT_SCHEDULE=cifar_lt_30e
# trains a seventh as long.
_base_ = [
    '../_base_/models/resnet32_cifar.py',
    '../_base_/datasets/{{$CIFAR10_LT_DATA:cifar10_lt}}.py',
    '../_base_/schedules/{{$CIFAR_LT_SCHEDULE:cifar_lt_200e}}.py',
    '../_base_/default_runtime_classification.py',
]
