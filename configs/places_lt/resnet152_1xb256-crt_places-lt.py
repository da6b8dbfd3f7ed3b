# Stage 2: Kang et al. 2020. The old classifier is kept, but has no part in the predictions.
_base_ = './resnet152_1xb256-gml_places-lt.py'
loss = dict(type='CrossEntropyLoss', loss_weight=1.0)
model = dict(head=dict(loss=dict(_delete_=True, **loss), ensemble=False))
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
