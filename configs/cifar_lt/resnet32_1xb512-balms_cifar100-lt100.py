# Balanced Meta-Softmax, Tables 2 and 5, row 10: Balanced Softmax, sample rates learned.
_base_ = './resnet32_1xb512-decoupled-balanced-softmax_cifar100-lt100.py'
train_dataloader = dict(sampler=dict(_delete_=True, type='MetaSampler', power=0.0))
custom_hooks = [*_base_.custom_hooks, dict(type='MetaSamplerHook', meta_batch_size=512, lr=0.01)]
