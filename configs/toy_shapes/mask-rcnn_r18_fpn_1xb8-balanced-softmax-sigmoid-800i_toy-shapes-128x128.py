_base_ = './mask-rcnn_r18_fpn_1xb8-balanced-softmax-800i_toy-shapes-128x128.py'
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(base='sigmoid'),
            # As MMDetection starts it, but for the classifier's bias: a probability of 1/100.
            init_cfg=[
                dict(type='Normal', std=0.01, bias_prob=0.01, override=dict(name='fc_cls')),
                dict(type='Normal', std=0.001, override=dict(name='fc_reg')),
                dict(type='Xavier', distribution='uniform', override=dict(name='shared_fcs')),
            ],
        )
    )
)
