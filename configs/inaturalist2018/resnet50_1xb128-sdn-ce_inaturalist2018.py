_base_ = './resnet50_1xb128-ce_inaturalist2018.py'
# beta: the recall loss paper doesn't say; Sec. 5.4 of the class-balanced loss's, for large data.
model = dict(
    head=dict(
        _delete_=True,
        type='SDNHead',
        num_classes=8142,
        in_channels=2048,
        feature_loss=dict(type='CrossEntropyLoss'),
        classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto', beta=0.999),
    )
)
