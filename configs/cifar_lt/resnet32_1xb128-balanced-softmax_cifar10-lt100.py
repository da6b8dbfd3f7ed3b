_base_ = './resnet32_1xb128-ce_cifar10-lt100.py'
loss = dict(type='BalancedSoftmaxLoss', class_counts='auto')
model = dict(head=dict(loss=dict(_delete_=True, **loss)))
