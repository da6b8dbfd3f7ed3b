# Balanced Meta-Softmax, Table 4: Sigmoid. With beta=0 all classes have the same weight.
_base_ = './mask-rcnn_r50_fpn_8xb2-softmax-90k_lvis-v0.5.py'
loss = dict(type='ClassBalancedLoss', class_counts='auto', beta=0.0, base='sigmoid')
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(_delete_=True, **loss),
            # As MMDetection starts it, but for the classifier's bias: a probability of 1/1000, as
            # in the authors' released code.
            init_cfg=[
                dict(type='Normal', std=0.01, bias_prob=0.001, override=dict(name='fc_cls')),
                dict(type='Normal', std=0.001, override=dict(name='fc_reg')),
                dict(type='Xavier', distribution='uniform', override=dict(name='shared_fcs')),
            ],
        )
    )
)
