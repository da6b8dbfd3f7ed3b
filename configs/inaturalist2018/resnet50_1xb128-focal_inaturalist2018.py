_base_ = './resnet50_1xb128-ce_inaturalist2018.py'
model = dict(head=dict(loss=dict(_delete_=True, type='SoftmaxFocalLoss', gamma=1.0)))
