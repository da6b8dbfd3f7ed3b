# Balanced Meta-Softmax, Table 5, row 9: Balanced Softmax, its class weights learned.
_base_ = './resnet32_1xb512-decoupled-balanced-softmax_cifar100-lt100.py'
custom_hooks = [*_base_.custom_hooks, dict(type='MetaReweighter', meta_batch_size=512, lr=0.01)]
