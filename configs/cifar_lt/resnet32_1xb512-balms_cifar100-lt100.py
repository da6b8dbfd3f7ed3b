# Stage 2, as in the released configs. The old classifier has no part in predictions.
_base_ = ['./resnet32_1xb512-gml_cifar100-lt100.py', '../_base_/losses/balanced_softmax.py']
model = dict(head=dict(loss={{_base_.loss}}, ensemble=False))
train_dataloader = dict(sampler=dict(_delete_=True, type='MetaSampler', power=0.0))
custom_hooks = [*_base_.custom_hooks, dict(type='MetaSamplerHook', meta_batch_size=512, lr=0.01)]
