_base_ = './resnext50-32x4d_4xb128-ce_imagenet-lt.py'
loss = dict(type='BalancedSoftmaxLoss', class_counts='auto')
model = dict(head=dict(loss=dict(_delete_=True, **loss)))
