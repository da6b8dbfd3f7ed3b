# Balanced Meta-Softmax' released configs, at batch 512: 800 iterations from 0.05 to 0.1, then a
# cosine to 0. The release changes the rate once an epoch.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.5, begin=0, end=800, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=12200, begin=800, end=13000, by_epoch=False),
]
train_cfg = dict(by_epoch=False, max_iters=13000, val_interval=1000)
val_cfg = dict()
test_cfg = dict()
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=512)
