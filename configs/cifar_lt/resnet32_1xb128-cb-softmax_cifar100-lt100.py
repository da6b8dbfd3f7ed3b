# beta: Table 2 of the paper, imbalance 100.
_base_ = './resnet32_1xb128-ce_cifar100-lt100.py'
loss = dict(type='ClassBalancedLoss', class_counts='auto', beta=0.9)
model = dict(head=dict(loss=dict(_delete_=True, **loss)))
