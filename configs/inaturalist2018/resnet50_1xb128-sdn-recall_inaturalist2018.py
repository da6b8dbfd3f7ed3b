_base_ = './resnet50_1xb128-sdn-ce_inaturalist2018.py'
model = dict(
    head=dict(
        feature_loss=dict(_delete_=True, type='RecallLoss', alpha=0.001, num_classes=8142),
    )
)
