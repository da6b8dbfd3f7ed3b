_base_ = [
    '../_base_/models/lenet5.py',
    '../_base_/datasets/digits_lt.py',
    '../_base_/schedules/digits_lt_100e.py',
    '../_base_/default_runtime_classification.py',
]
default_hooks = dict(checkpoint=dict(interval=100))
