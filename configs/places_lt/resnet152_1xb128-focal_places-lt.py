_base_ = './resnet152_1xb128-ce_places-lt.py'
model = dict(head=dict(loss=dict(_delete_=True, type='SoftmaxFocalLoss', gamma=1.0)))
