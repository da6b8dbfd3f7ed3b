# Class-balanced loss, Sec. 5.2: the training of Goyal et al. 2017 (0.1 for each 256 images of a
# batch, 5 epochs of warm-up, a tenth at 30, 60 and 80), at four times the rate for focal loss.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=4 * 0.4, momentum=0.9, weight_decay=1e-4),
    # The classifier's bias starts at the prior, and stays free of weight decay (Sec. 5.2).
    paramwise_cfg=dict(custom_keys={'head.fc.bias': dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.25,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(type='MultiStepLR', milestones=[30, 60, 80], gamma=0.1, by_epoch=True),
]
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
