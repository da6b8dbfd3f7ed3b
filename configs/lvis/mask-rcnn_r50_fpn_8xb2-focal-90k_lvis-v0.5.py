# Balanced Meta-Softmax, Table 4: Focal Loss. Lin et al.'s gamma, no alpha.
_base_ = './mask-rcnn_r50_fpn_8xb2-sigmoid-90k_lvis-v0.5.py'
model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(base='focal', gamma=2.0))))
