# LeNet-5 without its last two layers, which make place for the heads of one linear classifier.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='LeNet5'),
    neck=dict(type='GlobalAveragePooling'),  # of 1 x 1: it only flattens
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=120,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
