# Balanced Meta-Softmax, Table 2: cRT (Kang et al. 2020).
_base_ = './resnet32_1xb512-decoupled-balanced-softmax_cifar100-lt100.py'
model = dict(head=dict(loss=dict(_delete_=True, type='CrossEntropyLoss', loss_weight=1.0)))
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
