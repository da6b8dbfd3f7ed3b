_base_ = [
    '../_base_/models/resnet50.py',
    '../_base_/datasets/inaturalist2018.py',
    '../_base_/schedules/inaturalist2018_bs1024_90e.py',
    '../_base_/default_runtime_classification.py',
]
loss = dict(type='ClassBalancedLoss', class_counts='auto', beta=0.999, base='focal', gamma=0.5)
model = dict(
    head=dict(
        num_classes=8142,
        loss=dict(_delete_=True, **loss),
        # The bias starts at the prior, -log((1 - pi) / pi) with pi = 1/8142 (Sec. 5.2).
        init_cfg=dict(type='Normal', layer='Linear', std=0.01, bias_prob=1 / 8142),
    )
)
