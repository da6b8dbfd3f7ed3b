_base_ = './resnet152_1xb128-sdn-recall_places-lt.py'
model = dict(head=dict(feature_loss=dict(alpha=0.5)))
