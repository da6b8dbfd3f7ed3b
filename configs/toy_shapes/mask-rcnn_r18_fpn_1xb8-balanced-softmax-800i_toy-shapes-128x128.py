_base_ = [
    './mask-rcnn_r18_fpn_1xb8-ce-800i_toy-shapes-128x128.py',
    '../_base_/losses/balanced_softmax.py',
]
model = dict(roi_head=dict(bbox_head=dict(loss_cls={{_base_.loss}})))
