# Balanced Meta-Softmax, Table 5, row 7: class-balanced sampling too.
_base_ = './resnet32_1xb512-decoupled-balanced-softmax_cifar100-lt100.py'
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
