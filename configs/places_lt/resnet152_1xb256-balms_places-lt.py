# Stage 2, as in the released config. The old classifier has no part in predictions.
_base_ = ['./resnet152_1xb256-gml_places-lt.py', '../_base_/losses/balanced_softmax.py']
model = dict(head=dict(loss={{_base_.loss}}, ensemble=False))
train_dataloader = dict(sampler=dict(_delete_=True, type='MetaSampler', power=-0.3))
optim_wrapper = dict(optimizer=dict(lr=0.02))
custom_hooks = [*_base_.custom_hooks, dict(type='MetaSamplerHook', meta_batch_size=512, lr=1e-3)]
