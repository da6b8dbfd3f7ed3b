# The papers' 200 epochs (cifar_lt_200e.py) in 30: hours on a CPU core instead of a day. The rate
# falls at the same fractions of the training, 160/200 and 180/200; the warm-up of 5/200 is rounded
# up to an epoch.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=2e-4),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(type='MultiStepLR', milestones=[24, 27], gamma=0.01, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=10)
val_cfg = dict()
test_cfg = dict()
