_base_ = './resnet152_1xb128-sdn-ce_places-lt.py'
model = dict(
    head=dict(
        feature_loss=dict(_delete_=True, type='RecallLoss', alpha=0.9, num_classes=365),
    )
)
