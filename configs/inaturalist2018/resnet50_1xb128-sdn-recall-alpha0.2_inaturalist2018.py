_base_ = './resnet50_1xb128-sdn-recall_inaturalist2018.py'
model = dict(head=dict(feature_loss=dict(alpha=0.2)))
