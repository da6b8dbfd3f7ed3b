# Balanced Meta-Softmax, Table 4: Class Balanced Loss.
_base_ = './mask-rcnn_r50_fpn_8xb2-sigmoid-90k_lvis-v0.5.py'
model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(beta=0.999))))
