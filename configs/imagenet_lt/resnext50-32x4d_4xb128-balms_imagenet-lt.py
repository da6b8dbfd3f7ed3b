# Stage 2, as in the released config for ResNet-10. The old classifier has no part in predictions.
_base_ = ['./resnext50-32x4d_4xb128-gml_imagenet-lt.py', '../_base_/losses/balanced_softmax.py']
model = dict(head=dict(loss={{_base_.loss}}, ensemble=False))
train_dataloader = dict(sampler=dict(_delete_=True, type='MetaSampler', power=-0.1))
optim_wrapper = dict(optimizer=dict(lr=0.5))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=20, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=20)
custom_hooks = [
    *_base_.custom_hooks,
    # Of each of 4 processes: 1024 images in all, as the release has in its one.
    dict(type='MetaSamplerHook', meta_batch_size=256, lr=1e-3),
]
