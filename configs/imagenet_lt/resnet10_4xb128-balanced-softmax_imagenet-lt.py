_base_ = './resnet10_4xb128-ce_imagenet-lt.py'
loss = dict(type='BalancedSoftmaxLoss', class_counts='auto')
model = dict(head=dict(loss=dict(_delete_=True, **loss)))
