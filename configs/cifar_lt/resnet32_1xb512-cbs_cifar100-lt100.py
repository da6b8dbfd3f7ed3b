# Balanced Meta-Softmax, Table 2: CBS, class-balanced sampling.
_base_ = './resnet32_1xb512-ce_cifar100-lt100.py'
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
