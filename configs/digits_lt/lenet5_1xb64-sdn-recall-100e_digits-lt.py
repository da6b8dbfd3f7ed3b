_base_ = './lenet5_1xb64-ce-100e_digits-lt.py'
model = dict(
    head=dict(
        _delete_=True,
        type='SDNHead',
        num_classes=10,
        in_channels=120,
        feature_loss=dict(type='RecallLoss', alpha=0.1, num_classes=10),
        classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto', beta=0.999),
    )
)
