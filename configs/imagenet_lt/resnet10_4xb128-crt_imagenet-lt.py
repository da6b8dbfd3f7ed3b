# Stage 2: Kang et al. 2020. The old classifier stays in the model, but has no part in predictions.
_base_ = ['./resnet10_4xb128-gml_imagenet-lt.py', '../_base_/losses/cross_entropy.py']
model = dict(head=dict(loss={{_base_.loss}}, ensemble=False))
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
