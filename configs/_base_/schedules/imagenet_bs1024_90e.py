# Class-balanced loss, Sec. 5.2: the training of Goyal et al. 2017 (0.1 for each 256 images of a
# batch, a tenth at 30, 60 and 80), and what its released code adds: Nesterov, a warm-up from 0, no
# decay on batch norm nor on the classifier's bias.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.4, momentum=0.9, nesterov=True, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'head.fc.bias': dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
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
