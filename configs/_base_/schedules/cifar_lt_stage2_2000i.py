# The classifier alone, as in Balanced Meta-Softmax' released configs.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=2000, by_epoch=False)]
train_cfg = dict(by_epoch=False, max_iters=2000, val_interval=500)
val_cfg = dict()
test_cfg = dict()
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=512)
