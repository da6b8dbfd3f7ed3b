_base_ = './resnet152_1xb128-ce_places-lt.py'
loss = dict(type='BalancedSoftmaxLoss', class_counts='auto')
model = dict(head=dict(loss=dict(_delete_=True, **loss)))
