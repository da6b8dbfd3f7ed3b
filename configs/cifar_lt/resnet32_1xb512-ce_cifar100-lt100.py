# Balanced Meta-Softmax, Tables 2 and 5: Softmax, and stage 1 of all decoupled rows.
_base_ = [
    '../_base_/models/resnet32_cifar.py',
    '../_base_/datasets/cifar100_lt_autoaugment.py',
    '../_base_/schedules/cifar_lt_13000i.py',
    '../_base_/default_runtime_classification.py',
]
model = dict(head=dict(num_classes=100))
train_dataloader = dict(batch_size=512)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1000))
