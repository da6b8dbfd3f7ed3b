# beta: Table 2 of the paper, imbalance 100.
_base_ = './resnet32_1xb128-ce_cifar100-lt100.py'
loss = dict(type='ClassBalancedLoss', class_counts='auto', beta=0.9, base='sigmoid')
model = dict(
    head=dict(
        loss=dict(_delete_=True, **loss),
        # The bias starts at the prior, -log((1 - pi) / pi), pi = 1/100, and stays free of weight
        # decay (Sec. 5.2).
        init_cfg=dict(type='Normal', layer='Linear', std=0.01, bias_prob=1 / 100),
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head.fc.bias': dict(decay_mult=0.0)}))
