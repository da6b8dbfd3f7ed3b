# Stage 2 over the run with cross entropy: a new classifier beside the old one, features frozen.
_base_ = './lenet5_1xb64-ce-100e_digits-lt.py'
load_from = 'work_dirs/lenet5_1xb64-ce-100e_digits-lt/epoch_100.pth'
model = dict(
    head=dict(
        _delete_=True,
        type='EnsembleHead',
        num_classes=10,
        in_channels=120,
        loss=dict(type='GeometricMeanLoss', class_counts='auto'),
    )
)
optim_wrapper = dict(optimizer=dict(lr=1e-2))  # a linear classifier alone
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=20, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=20, val_interval=20)
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', prefixes=['backbone', 'neck'])]
