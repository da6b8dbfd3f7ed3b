# No One Left Behind, Table 8: class-balanced sampling in place of re-weighting.
_base_ = './resnet32_1xb512-gml-plain_cifar100-lt100.py'
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
