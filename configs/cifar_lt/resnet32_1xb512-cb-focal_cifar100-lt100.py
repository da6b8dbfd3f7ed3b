# Balanced Meta-Softmax, Table 2: Class Balanced Loss, the best of that paper's Table 2 at imbalance
# 100.
_base_ = './resnet32_1xb512-ce_cifar100-lt100.py'
loss = dict(type='ClassBalancedLoss', class_counts='auto', beta=0.9, base='focal', gamma=1.0)
model = dict(
    head=dict(
        loss=dict(_delete_=True, **loss),
        # The bias starts at the prior, -log((1 - pi) / pi), pi = 1/100, and stays free of weight
        # decay (Sec. 5.2 of the class-balanced loss).
        init_cfg=dict(type='Normal', layer='Linear', std=0.01, bias_prob=1 / 100),
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head.fc.bias': dict(decay_mult=0.0)}))
