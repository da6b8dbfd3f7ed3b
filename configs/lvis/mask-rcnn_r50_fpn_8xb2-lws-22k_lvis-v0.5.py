# Balanced Meta-Softmax, Table 4: LWS (Kang et al. 2020), on the frozen features of the softmax.
_base_ = './mask-rcnn_r50_fpn_8xb2-balanced-softmax-22k_lvis-v0.5.py'
model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='ScaledLinear'),
            loss_cls=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=False),
        )
    )
)
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareSampler'))
