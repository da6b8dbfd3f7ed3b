_base_ = './resnet32_1xb512-gml-20e_cifar10-lt100-folder.py'
loss = dict(_delete_=True, type='BalancedSoftmaxLoss', class_counts='auto')
model = dict(head=dict(loss=loss, ensemble=False))
train_dataloader = dict(sampler=dict(_delete_=True, type='MetaSampler', power=0.0))
custom_hooks = [
    dict(type='ClassCountsHook'),
    dict(type='FreezeHook', prefixes=['backbone', 'neck']),
    dict(type='MetaSamplerHook', meta_batch_size=512, lr=0.01),
]
